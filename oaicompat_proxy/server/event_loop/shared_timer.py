"""One timer of the event loop for the time limits and keep-alives of all streams. A timer of its own takes 540 bytes.

Objects that are due at about the same time wait in one set. They are called late by at most a sixty-fourth of their
delay.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from heapq import heappop, heappush
from math import ceil, frexp, ldexp
from typing import Protocol

MOST_IN_A_TURN = 64
"""Objects that are called in one turn of the event loop: a keep-alive takes 10 to 20 µs."""


class Timed(Protocol):
    """An object that waits for one moment at a time."""

    def on_time(self) -> None: ...


Due = set[Timed]
"""The objects that are called at the same moment."""


class SharedTimer:
    """Calls objects after a delay."""

    __slots__ = ("_due", "_moments", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # state
        self._due: dict[float, Due] = {}
        """By the time of the loop. An empty set and its timer stay: the next request often needs them again."""
        self._moments: list[float] = []
        """The times in `_due`, as a heap."""
        self._timer: asyncio.Handle | None = None

    def call_later(self, delay: float, target: Timed) -> Due:
        """Calls `target.on_time()` after `delay` seconds, unless it is discarded from the set that this returns."""
        grain = ldexp(1.0, frexp(delay)[1] - 7)  # the power of two between a 128th and a 64th of the delay
        moment = ceil((self.loop.time() + delay) / grain) * grain
        due = self._due.get(moment)
        if due is None:
            due = self._due[moment] = set()
            heappush(self._moments, moment)
            if self._moments[0] == moment:
                self._set_timer()
        due.add(target)
        return due

    def __len__(self) -> int:
        """Number of objects that wait."""
        return sum(map(len, self._due.values()))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # without the context of the request whose call sets it
        self._timer = self.loop.call_at(self._moments[0], self._call_due, context=Context())

    def _call_due(self) -> None:
        """Calls all objects that are due, or those of one turn."""
        self._timer = None
        now, moments, left = self.loop.time(), self._moments, MOST_IN_A_TURN
        while moments and moments[0] <= now:
            due = self._due[moments[0]]
            while due and left:
                left -= 1
                self._call(due.pop())
            if due:
                break
            del self._due[heappop(moments)]
        if moments:
            self._set_timer()

    def _call(self, target: Timed) -> None:
        try:
            target.on_time()
        except Exception as error:
            self.loop.call_exception_handler({"message": f"{target!r} failed on time", "exception": error})


_latest: SharedTimer | None = None


def shared_timer(loop: asyncio.AbstractEventLoop) -> SharedTimer:
    """The timer of this event loop. Only the latest is kept, because a process has one loop at a time."""
    global _latest
    if _latest is None or _latest.loop is not loop:
        _latest = SharedTimer(loop)
    return _latest
