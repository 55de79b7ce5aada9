"""Bounds the memory that the state of one run takes."""

from __future__ import annotations

from ...core.errors import UpstreamError

ENTRY_COST = 256
"""Characters that an entry costs besides its text."""


class SizeLimit:
    """Counts the characters that one kind of entries takes in one run."""

    def __init__(self, limit: int, things: str) -> None:
        """`things`: the name of the entries, for the error."""
        self._limit = limit
        self._things = things
        # state
        self._used = 0

    def add(self, text: str) -> None:
        """Adds an entry. Raises UpstreamError beyond the limit."""
        self.grow(ENTRY_COST + len(text))

    def remove(self, text: str) -> None:
        """Removes an entry that was added."""
        self._used -= ENTRY_COST + len(text)

    def grow(self, characters: int) -> None:
        """Makes an entry longer, or shorter. Raises UpstreamError beyond the limit."""
        self._used += characters
        if self._used > self._limit:
            raise UpstreamError(f"The agent's run has more than {self._limit} characters of {self._things} at a time.")
