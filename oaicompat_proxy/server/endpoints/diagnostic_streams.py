"""The test streams of `doctor` that run in this process, whose they are, and how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from ...core.errors import DiagnosticsBusy

MOST_STREAMS = 16
"""Test streams at once."""

MOST_OF_ONE = 4
"""Of these, streams of one caller: what one doctor has."""

MOST_REMEMBERED = 100
"""Streams whose end is remembered."""

LONGEST = 310.0
"""Seconds of a test stream: the longest silence, and some events."""


@dataclass(slots=True, eq=False)
class Watch:
    """One test stream."""

    caller: str
    task: asyncio.Task[Any] | None
    left_at: float | None = None
    """The event loop's time at which its client was found to have left."""
    running: bool = True
    gave_way: bool = False
    """It was ended for another caller's."""


class DiagnosticStreams:
    """Of one process: a stream is known only to the worker that sends it."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Watch] = OrderedDict()
        """By their tokens."""
        self._running: dict[Watch, None] = {}
        """The oldest first."""

    @contextlib.asynccontextmanager
    async def watch(self, caller: str, token: str) -> AsyncIterator[None]:
        """Remembers how this stream ends, after LONGEST at the latest. Raises DiagnosticsBusy."""
        self._make_room(caller)
        watch = Watch(caller, asyncio.current_task())
        self._running[watch] = None
        if token:
            self._known[token] = watch
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        try:
            async with asyncio.timeout(LONGEST):
                yield
        except (asyncio.CancelledError, ConnectionError):
            if not watch.gave_way:
                watch.left_at = asyncio.get_running_loop().time()
            raise
        except TimeoutError:
            raise ConnectionResetError("the test stream is too long") from None
        finally:
            watch.running, watch.task = False, None
            self._running.pop(watch, None)

    def _make_room(self, caller: str) -> None:
        """The caller with the most streams gives way to one that has fewer. Raises DiagnosticsBusy."""
        counts = Counter(each.caller for each in self._running)
        if counts[caller] >= MOST_OF_ONE:
            raise DiagnosticsBusy(f"You have {MOST_OF_ONE} test streams already; try again when one of them is over.")
        if len(self._running) < MOST_STREAMS:
            return
        most = max(counts.values())
        if counts[caller] + 1 >= most:
            raise DiagnosticsBusy("This server sends as many test streams as it allows; try again in a minute.")
        oldest = next(each for each in self._running if counts[each.caller] == most)
        oldest.gave_way = True
        del self._running[oldest]
        if oldest.task is not None:
            oldest.task.cancel()

    def state(self, token: str) -> dict[str, Any]:
        """Whether it is known, whether it runs, and the seconds since its client was found to have left, or None."""
        watch = self._known.get(token)
        if watch is None:
            return {"known": False}
        ago = None if watch.left_at is None else asyncio.get_running_loop().time() - watch.left_at
        return {"known": True, "running": watch.running, "left_seconds_ago": ago}
