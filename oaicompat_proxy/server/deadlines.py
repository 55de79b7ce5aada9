"""Many deadlines of the same length on one timer of the event loop. Nearly all are lifted before they are due, and a
timer for each would cost more than everything else that is done for them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Bound(Protocol):
    """An object with a deadline."""

    def miss_deadline(self) -> None:
        """Called when the deadline is due; it is lifted then."""


class Deadlines:
    """Deadlines of one length."""

    def __init__(self, length: float) -> None:
        """`length`: seconds."""
        self._length = length
        # moving
        self._due: dict[Bound, float] = {}
        """By the loop's time, in the order in which they are due."""
        self._timer: asyncio.TimerHandle | None = None

    def set(self, bound: Bound, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the deadline; once for each object."""
        self._due[bound] = loop.time() + self._length
        if self._timer is None:
            self._timer = loop.call_later(self._length, self._look, loop)

    def lift(self, bound: Bound) -> None:
        """Cancels the deadline. Harmless if there is none."""
        self._due.pop(bound, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        missed = []
        for bound, due in self._due.items():
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                break
            missed.append(bound)
        for bound in missed:
            if self._due.pop(bound, None) is not None:  # one called before may have lifted it
                self._tell(bound, loop)

    def _tell(self, bound: Bound, loop: asyncio.AbstractEventLoop) -> None:
        """Isolates failures, as separate timers would."""
        try:
            bound.miss_deadline()
        except Exception as error:
            loop.call_exception_handler({"message": "handling a missed deadline failed", "exception": error})
