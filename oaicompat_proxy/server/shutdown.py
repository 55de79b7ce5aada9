"""Graceful shutdown: responses finish, those left after `drain_timeout` are interrupted, no accepted request is lost.

A client with a kept-alive connection may send a request at the very moment at which the server closes the connection,
and cannot know whether the request was run. So during shutdown every response says `Connection: close`, and a
kept-alive connection is closed only after a while without a request. A new connection has longer: its client is about
to send a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

from ..core.errors import AnswerCut, ProxyError, ServerStopping

log = logging.getLogger(__name__)

IDLE_BEFORE_CLOSE = 1.0
"""Seconds without a request after which a kept-alive connection is closed; a client in use sends one sooner."""

UNUSED_BEFORE_CLOSE = 5.0
"""The same for a connection that has had no request. Some clients open connections for later."""

ERROR_TIMEOUT = 2.0
"""Seconds to send the errors of interrupted responses, and to finalize their sessions."""

READING_TURNS = 2
"""Turns of the event loop until what arrived while the process stood still is read: in the first one, tasks may run
before the reads."""

MAX_STALL = 5.0
"""Seconds without progress after which the connection of a client that does not read its response is aborted."""

MAX_POLL_INTERVAL = 0.05
"""Seconds between two checks of the open connections."""


class Closable(Protocol):
    """A client's connection."""

    def quiet_for(self) -> float:
        """Seconds since its last response or the last bytes of an incomplete head; 0 while a request is handled."""
        ...

    @property
    def had_request(self) -> bool: ...

    def force_close(self) -> None: ...

    def stalled_for(self) -> float:
        """Seconds for which the client has read none of the bytes in the send buffer."""
        ...

    def abort(self) -> None: ...


class CancelOnShutdown:
    """A context in which shutdown raises `kind`, as a timeout raises TimeoutError.

    Of nested contexts only the innermost is interrupted. The context holds no state of a request, so all requests
    share it.
    """

    __slots__ = ("_kind", "_message", "_shutdown")

    def __init__(self, shutdown: GracefulShutdown, kind: type[ProxyError], message: str) -> None:
        self._shutdown = shutdown
        self._kind = kind
        self._message = message

    def __enter__(self) -> None:
        if self._shutdown.interrupting:
            raise self._kind(self._message)
        self._shutdown.active.add(asyncio.current_task(self._shutdown.loop))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task(self._shutdown.loop)
        self._shutdown.active.discard(task)
        if task is not None and task in self._shutdown.cancelled:
            failure = self._shutdown.cancelled.pop(task)
            if not task.uncancel() and kind is asyncio.CancelledError:
                raise failure or self._kind(self._message) from error


class GracefulShutdown:
    """Whether the process shuts down, and the requests that can be interrupted."""

    def __init__(self) -> None:
        self.active: set[asyncio.Task[Any] | None] = set()
        self.cancelled: dict[asyncio.Task[Any] | None, ProxyError | None] = {}
        """Tasks that have not yet received their cancellation, with the error of one that was stopped alone."""
        self.background: set[asyncio.Task[Any]] = set()
        """Runs that no client waits for."""
        self.interrupting = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The running event loop, cached: before Python 3.12 asyncio.get_running_loop() is a system call (getpid)."""
        self.begun = False
        """Shutdown has begun: the process is not ready any more, and keeps no connection alive."""
        self.interrupted = 0
        """Responses that did not finish within `drain_timeout`."""
        self.before_run = CancelOnShutdown(
            self, ServerStopping, "This server is stopping; nothing was run, so try again."
        )
        self.during_run = CancelOnShutdown(
            self, AnswerCut, "This server is stopping, and the agent was not done in time; the answer is incomplete."
        )

    def begin(self) -> None:
        self.begun = True

    def wait_for(self, run: asyncio.Task[Any]) -> None:
        """Shutdown waits for this run of an agent as it waits for a response."""
        self.background.add(run)
        run.add_done_callback(self.background.discard)

    def exclude(self) -> None:
        """Excludes the current request: it waits for a run that is interrupted itself, and then fails with the run."""
        self.active.discard(asyncio.current_task(self.loop))

    def interrupt(self) -> None:
        self.interrupting = True
        for task in filter(None, self.active):
            task.cancel()
        self.cancelled.update(dict.fromkeys(self.active))
        self.active.clear()

    def stop(self, task: asyncio.Task[Any], failure: ProxyError) -> bool:
        """Interrupts one request; its client gets `failure`. Returns False if it cannot be interrupted any more."""
        if task not in self.active:
            return False
        self.active.discard(task)
        self.cancelled[task] = failure
        task.cancel()
        return True

    async def drain(self, connections: Callable[[], Iterable[Closable]], *, within: float) -> None:
        """Returns when no connection and no background run is left. After `within` seconds it interrupts the responses,
        and gives their errors ERROR_TIMEOUT to be sent.
        """
        if await self._until_none(connections, idle=IDLE_BEFORE_CLOSE, unused=UNUSED_BEFORE_CLOSE, within=within):
            return
        self.interrupted = sum(each.quiet_for() == 0 for each in connections()) + len(self.background)
        log.warning("interrupted %d responses after drain_timeout=%gs", self.interrupted, within)
        self.interrupt()
        await self._until_none(connections, idle=0, unused=0, within=ERROR_TIMEOUT)

    async def _until_none(
        self, connections: Callable[[], Iterable[Closable]], *, idle: float, unused: float, within: float
    ) -> bool:
        """Closes connections that are idle or unused for so many seconds. Returns whether nothing is left in time."""

        def is_quiet(connection: Closable) -> bool:
            return connection.quiet_for() > (idle if connection.had_request else unused)

        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        pause = 0.001
        while (left := list(connections())) or self.background:
            if loop.time() >= deadline:
                return False
            if quiet := [*filter(is_quiet, left)]:
                for _ in range(READING_TURNS):
                    await asyncio.sleep(0)
                for connection in filter(is_quiet, quiet):
                    connection.force_close()
            for connection in left:
                if connection.stalled_for() > MAX_STALL:
                    connection.abort()
            await asyncio.sleep(min(pause, max(deadline - loop.time(), 0)))
            pause = min(2 * pause, MAX_POLL_INTERVAL)
        return True
