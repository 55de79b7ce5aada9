"""Bounds the tool calls and citations of one answer that are buffered until they can be sent."""

from __future__ import annotations

from ..core.errors import UpstreamAnswerTooLong

ITEM_SIZE = 512
"""Characters that a tool call or a citation counts in addition to its text, for the memory of its objects."""

MAX_BUFFERED = 32 * 1024 * 1024


class BufferLimit:
    """Counts the buffered characters. `max_buffered`: their bound (setting `max_answer`)."""

    __slots__ = ("_max_buffered", "size")

    def __init__(self, max_buffered: int = MAX_BUFFERED) -> None:
        self._max_buffered = max_buffered
        # state
        self.size = 0

    def add(self, characters: int, *, items: int = 0) -> int:
        """Returns the size that was added; it is negative where something is removed. Raises UpstreamAnswerTooLong."""
        added = characters + items * ITEM_SIZE
        self.size += added
        if self.size > self._max_buffered:
            raise UpstreamAnswerTooLong(
                "The agent's tool calls or citations are longer than this server buffers; "
                "let the agent call fewer tools in one step."
            )
        return added

    def release(self, size: int) -> None:
        self.size -= size
