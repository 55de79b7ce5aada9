"""How much of a run is remembered: an agent may go on for ever, the memory of its reader may not."""

from __future__ import annotations

from ...core.errors import UpstreamError

ENTRY = 256
"""Characters that an entry counts beside its text: even an empty one takes room."""


class Budget:
    """Characters that one kind of thing may take in one run."""

    def __init__(self, limit: int, things: str) -> None:
        """`things`: what they are, for the error."""
        self._limit = limit
        self._things = things
        # moving
        self._used = 0

    def take(self, text: str) -> None:
        """One more entry. Raises UpstreamError beyond the limit."""
        self.grow(ENTRY + len(text))

    def give_back(self, text: str) -> None:
        """An entry that was taken is gone."""
        self._used -= ENTRY + len(text)

    def grow(self, characters: int) -> None:
        """An entry has become longer, or shorter. Raises UpstreamError beyond the limit."""
        self._used += characters
        if self._used > self._limit:
            raise UpstreamError(f"The agent's run has more than {self._limit} characters of {self._things} at a time.")
