"""Bounds the work of one check: a schema or an answer that takes too much of it is an error, never a wait."""

from __future__ import annotations

from contextvars import ContextVar

MAX_STEPS = 100_000
"""A step is a keyword of the schema that is applied to a value of the answer, or a look at some values: about 4 µs, and
8 µs where references nest.
"""

MAX_NESTED = 200
"""Keywords of a schema that are applied inside each other. Each takes up to four of Python's 1000 frames."""


class TooManySteps(Exception):
    """The check takes more steps, or nests deeper, than its bounds allow."""


class Steps:
    """The steps that are left to one check."""

    __slots__ = ("_left", "_nested")

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._nested = 0

    def take(self, steps: int) -> None:
        """Raises TooManySteps."""
        self._left -= steps
        if self._left < 0:
            raise TooManySteps

    def enter(self) -> None:
        """A keyword begins that applies others. Raises TooManySteps."""
        self._nested += 1
        if self._nested > MAX_NESTED:
            raise TooManySteps

    def leave(self) -> None:
        self._nested -= 1


CURRENT: ContextVar[Steps] = ContextVar("the steps of the check that runs")
"""Keywords are functions of a library's making, which has no argument for this."""
