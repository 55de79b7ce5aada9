"""Bounds what one answer holds in memory until it can be sent: tool calls and citations."""

from __future__ import annotations

from ..core.errors import UpstreamAnswerTooLong

ITEM_SIZE = 512
"""Characters that a tool call or a citation counts beside its text: about the memory of its objects."""

MAX_HELD = 32 * 1024 * 1024


class Held:
    """Counts the characters that are held. `max_held`: their bound (setting `max_answer`)."""

    def __init__(self, max_held: int = MAX_HELD) -> None:
        self._max_held = max_held
        # state
        self.size = 0

    def add(self, characters: int, *, items: int = 0) -> int:
        """Returns the size that was added; it is negative where something is removed. Raises UpstreamAnswerTooLong."""
        added = characters + items * ITEM_SIZE
        self.size += added
        if self.size > self._max_held:
            raise UpstreamAnswerTooLong(
                "The agent's tool calls or citations are longer than this server holds at a time; "
                "let the agent call fewer tools in one step."
            )
        return added

    def release(self, size: int) -> None:
        self.size -= size
