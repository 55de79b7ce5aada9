"""Many deadlines of the same length on one timer of the loop: nearly all of them are lifted long before they are due,
and a timer for each would cost more than all else that is done for them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Bound(Protocol):
    """Who has a deadline."""

    def miss_deadline(self) -> None:
        """It is due, and lifted."""


class Deadlines:
    """All of one length."""

    def __init__(self, length: float) -> None:
        """`length`: seconds."""
        self._length = length
        # moving
        self._due: dict[Bound, float] = {}
        """By the loop's time: who comes first is due first."""
        self._timer: asyncio.TimerHandle | None = None

    def set(self, bound: Bound, loop: asyncio.AbstractEventLoop) -> None:
        """From now on; once for each."""
        self._due[bound] = loop.time() + self._length
        if self._timer is None:
            self._timer = loop.call_later(self._length, self._look, loop)

    def lift(self, bound: Bound) -> None:
        """At any time, and as often as one likes."""
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
            if self._due.pop(bound, None) is not None:  # nobody before it has lifted it
                self._tell(bound, loop)

    def _tell(self, bound: Bound, loop: asyncio.AbstractEventLoop) -> None:
        """As behind a timer of its own: the others do not suffer from its fault."""
        try:
            bound.miss_deadline()
        except Exception as error:
            loop.call_exception_handler({"message": "what is done about a missed deadline failed", "exception": error})
