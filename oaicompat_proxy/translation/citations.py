"""Citations: the agent counts characters from the start of a block, clients from the start of the answer's text."""

from __future__ import annotations

from ..core.answer import Annotations, Part, UrlCitation
from ..core.events import Citation
from .buffer_limit import BufferLimit


class Citations:
    """Follows the length of the text that was sent, so that a block's positions become the answer's."""

    __slots__ = ("_block_start", "_found", "_limit", "_waiting", "length")

    def __init__(self, limit: BufferLimit) -> None:
        """`limit` counts every citation until the answer ends, and raises UpstreamAnswerTooLong."""
        self._limit = limit
        # state
        self.length = 0
        """Characters of text that were sent."""
        self._block_start: int | None = 0
        """None from the start of a block until its first text."""
        self._found: set[UrlCitation] = set()
        self._waiting: list[UrlCitation] = []
        """Those that were not sent yet."""

    def start_block(self) -> None:
        self._block_start = None

    def advance(self, sent: int, own: int) -> None:
        """Counts `sent` characters of text; the last `own` of them are the agent's, without a separator in front."""
        self.length += sent
        if self._block_start is None:
            self._block_start = self.length - own

    def add(self, citations: tuple[Citation, ...]) -> None:
        """Adds citations of the current block, each once."""
        block = self.length if self._block_start is None else self._block_start
        for url, title, start, end in citations:
            first = block if start is None else min(block + start, self.length)
            last = self.length if end is None else min(block + end, self.length)
            found = UrlCitation(url, title, first, max(first, last))
            if found not in self._found:
                self._limit.add(len(url) + len(title or ""), items=1)
                self._found.add(found)
                self._waiting.append(found)

    def take(self) -> list[Part]:
        """The citations that were not sent yet, in one part."""
        waiting, self._waiting = self._waiting, []
        return [Annotations(tuple(waiting))] if waiting else []
