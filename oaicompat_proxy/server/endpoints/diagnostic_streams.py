"""The test streams of `doctor` in this process: who runs how many, and how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from ...core.errors import DiagnosticsBusy

MAX_STREAMS = 16
"""Test streams at once."""

MAX_PER_CALLER = 4
"""Test streams of one caller at once, as many as one `doctor` needs."""

MAX_REMEMBERED = 100
"""Streams whose end is remembered."""

MAX_SECONDS = 310.0
"""Seconds of a test stream, at most: the longest silence, and some events."""


@dataclass(slots=True, eq=False)
class _Stream:
    """One test stream."""

    caller: str
    task: asyncio.Task[Any] | None
    left_at: float | None = None
    """The event loop's time at which the client's disconnect was noticed."""
    running: bool = True
    evicted: bool = False
    """The stream was stopped in favour of another caller's."""


class DiagnosticStreams:
    """The streams of one process: other workers do not know them."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Stream] = OrderedDict()
        """Test streams by their tokens."""
        self._running: dict[_Stream, None] = {}
        """The oldest first."""

    @contextlib.asynccontextmanager
    async def watch(self, caller: str, token: str) -> AsyncIterator[None]:
        """Records how this stream ends, after MAX_SECONDS at the latest. Raises DiagnosticsBusy."""
        self._make_room(caller)
        watch = _Stream(caller, asyncio.current_task())
        self._running[watch] = None
        if token:
            self._known[token] = watch
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        try:
            async with asyncio.timeout(MAX_SECONDS):
                yield
        except (asyncio.CancelledError, ConnectionError):
            if not watch.evicted:
                watch.left_at = asyncio.get_running_loop().time()
            raise
        except TimeoutError:
            raise ConnectionResetError("the test stream is too long") from None
        finally:
            watch.running, watch.task = False, None
            self._running.pop(watch, None)

    def _make_room(self, caller: str) -> None:
        """If there are too many, stops one of the caller with the most streams. Raises DiagnosticsBusy."""
        counts = Counter(each.caller for each in self._running)
        if counts[caller] >= MAX_PER_CALLER:
            raise DiagnosticsBusy(
                f"You have {MAX_PER_CALLER} test streams already; try again when one of them is over."
            )
        if len(self._running) < MAX_STREAMS:
            return
        most = max(counts.values())
        if counts[caller] + 1 >= most:
            raise DiagnosticsBusy("This server sends as many test streams as it allows; try again in a minute.")
        oldest = next(each for each in self._running if counts[each.caller] == most)
        oldest.evicted = True
        del self._running[oldest]
        if oldest.task is not None:
            oldest.task.cancel()

    def state(self, token: str) -> dict[str, Any]:
        """Whether the stream is known, whether it runs, and the seconds since the disconnect of its client, or None."""
        watch = self._known.get(token)
        if watch is None:
            return {"known": False}
        ago = None if watch.left_at is None else asyncio.get_running_loop().time() - watch.left_at
        return {"known": True, "running": watch.running, "left_seconds_ago": ago}
