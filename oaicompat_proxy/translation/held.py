"""What is held back of one answer until it is known what it means: counted, and bounded."""

from __future__ import annotations

from ..core.errors import UpstreamAnswerTooLong

ITEM = 512
"""Characters that a tool call or a citation counts as, beside its own: about what the objects for it take."""

MOST = 32 * 1024 * 1024


class Held:
    """Characters that are held. `most`: as many as an answer may have that is not streamed (setting `max_answer`)."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # moving
        self.size = 0

    def add(self, characters: int, *, items: int = 0) -> int:
        """What was added, which may be less than nothing. Raises UpstreamAnswerTooLong."""
        added = characters + items * ITEM
        self.size += added
        if self.size > self._most:
            raise UpstreamAnswerTooLong(
                "The agent's tool calls or citations are longer than this server holds at a time; "
                "let the agent call fewer tools in one step."
            )
        return added

    def release(self, size: int) -> None:
        self.size -= size
