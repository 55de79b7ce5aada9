"""The end of a process: what runs may finish, what is not over in time is told so, and nobody's request is lost.

A client that keeps its connection may send a request at the very moment at which the connection is closed, and
cannot know whether it was run. So from the beginning of the end every answer says `Connection: close`, and a kept
connection is closed only when it has been quiet for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

from ..core.errors import AnswerCut, ProxyError, ServerStopping

log = logging.getLogger(__name__)

QUIET = 1.0
"""Seconds without a request after which a kept connection is closed: who uses it at all does so sooner."""

LAST_WORDS = 2.0
"""Seconds for the errors of interrupted answers to go out, and for their sessions to be let go."""

LONGEST_STALL = 5.0
"""Seconds for which a client may take nothing of its answer when the process is to end: it is dropped then."""

LONGEST_PAUSE = 0.05
"""Seconds between two looks at what is left."""


class Closable(Protocol):
    """A client's connection."""

    def quiet_for(self) -> float:
        """Seconds since its last answer, or since it was made; 0 while there is something to answer."""
        ...

    def force_close(self) -> None: ...

    def stalled_for(self) -> float:
        """Seconds for which the client has taken nothing of what waits for it."""
        ...

    def abort(self) -> None: ...


class Interruptible:
    """A context in which the end of the process raises `kind`, as a timeout raises TimeoutError.

    Of nested ones only the innermost counts, and behind it there are only last words, which are let out. It holds
    nothing of a request, so that all requests share it.
    """

    __slots__ = ("_kind", "_message", "_stopping")

    def __init__(self, stopping: Stopping, kind: type[ProxyError], message: str) -> None:
        self._stopping = stopping
        self._kind = kind
        self._message = message

    def __enter__(self) -> None:
        if self._stopping.interrupted:
            raise self._kind(self._message)
        self._stopping.waiting.add(asyncio.current_task(self._stopping.loop))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task(self._stopping.loop)
        self._stopping.waiting.discard(task)
        if task is not None and task in self._stopping.told:
            self._stopping.told.remove(task)
            if not task.uncancel() and kind is asyncio.CancelledError:
                raise self._kind(self._message) from error


class Stopping:
    """Whether the process is about to end, and the requests that can be interrupted then."""

    def __init__(self) -> None:
        self.waiting: set[asyncio.Task[Any] | None] = set()
        self.told: set[asyncio.Task[Any] | None] = set()
        """Interrupted, and not yet aware of it."""
        self.interrupted = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """That of the process, once it runs: to ask each time which one runs is a system call before Python 3.12."""
        self.begun = False
        """Told to end: not ready any more, no connection is kept."""
        self.cut = 0
        """Requests that were not over in time."""
        self.before_the_run = Interruptible(
            self, ServerStopping, "This server is stopping; nothing was run, so try again."
        )
        self.during_the_run = Interruptible(
            self, AnswerCut, "This server is stopping, and the agent was not done in time; the answer is incomplete."
        )

    def begin(self) -> None:
        self.begun = True

    def spare(self) -> None:
        """The current request is not interrupted: what it waits for is, and will tell it."""
        self.waiting.discard(asyncio.current_task(self.loop))

    def interrupt(self) -> None:
        self.interrupted = True
        for task in filter(None, self.waiting):
            task.cancel()
        self.told |= self.waiting
        self.waiting.clear()

    async def drain(self, connections: Callable[[], Iterable[Closable]], *, within: float) -> None:
        """Returns when no connection is left, or when nothing more can be done for those that are."""
        if await _until_none(connections, quiet=QUIET, within=within):
            return
        self.cut = sum(each.quiet_for() == 0 for each in connections())
        log.warning("%d answers are cut: they were not over within %g seconds", self.cut, within)
        self.interrupt()
        await _until_none(connections, quiet=0, within=LAST_WORDS)


async def _until_none(connections: Callable[[], Iterable[Closable]], *, quiet: float, within: float) -> bool:
    """Closes what has been quiet for so many seconds; whether nothing was left in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    pause = 0.001
    while left := list(connections()):
        if loop.time() >= deadline:
            return False
        for connection in left:
            if connection.quiet_for() > quiet:
                connection.force_close()
            if connection.stalled_for() > LONGEST_STALL:
                connection.abort()
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0)))
        pause = min(2 * pause, LONGEST_PAUSE)
    return True
