"""Bounds the work of one check: a schema or an answer that needs more is an error, and never blocks the server."""

from __future__ import annotations

from contextvars import ContextVar

MAX_STEPS = 100_000
"""A step is one keyword applied to one value of the answer, or a few comparisons: about 4 µs, 8 µs in nested
references.
"""

MAX_NESTED = 200
"""Nesting depth of applied keywords. Each takes up to four of the 1000 frames of Python's recursion limit."""


class TooManySteps(Exception):
    """The check takes more steps, or nests deeper, than its bounds allow."""


class Steps:
    """Counts the steps and the nesting of one check."""

    __slots__ = ("_left", "_nested")

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._nested = 0

    def count(self, steps: int) -> None:
        """Counts more steps. Raises TooManySteps."""
        self._left -= steps
        if self._left < 0:
            raise TooManySteps

    def enter(self) -> None:
        """Call before a keyword that applies other keywords, and `leave` after it. Raises TooManySteps."""
        self._nested += 1
        if self._nested > MAX_NESTED:
            raise TooManySteps

    def leave(self) -> None:
        self._nested -= 1


CURRENT: ContextVar[Steps] = ContextVar("the steps of the check that runs")
"""A context variable, because the library's signature of keywords has no argument for it."""
