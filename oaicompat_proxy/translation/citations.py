"""What the answer's text refers to: citations of the agent's blocks, placed in the joined text."""

from __future__ import annotations

from ..core.answer import Annotations, Part, UrlCitation
from ..core.events import Citation
from .held import Held


class Citations:
    """Follows how much text is out, so that a block's positions become the answer's."""

    def __init__(self, held: Held) -> None:
        """`held`: each citation is counted there until the answer ends, which raises UpstreamAnswerTooLong."""
        self._held = held
        # moving
        self._length = 0
        self._block_start: int | None = 0
        self._found: dict[UrlCitation, None] = {}

    def start_block(self) -> None:
        self._block_start = None

    def note_text(self, said: str, piece: str) -> None:
        """`said` went out; `piece`, at its end, is the agent's own, without a separator in front."""
        self._length += len(said)
        if self._block_start is None:
            self._block_start = self._length - len(piece)

    def note_length(self, length: int) -> None:
        """More of the agent's own went out, with nothing in front of it."""
        if self._block_start is None:
            self._block_start = self._length
        self._length += length

    def add(self, citations: tuple[Citation, ...]) -> None:
        """The current block refers to these. Saying the same twice is saying it once."""
        block = self._length if self._block_start is None else self._block_start
        for url, title, start, end in citations:
            first = block if start is None else min(block + start, self._length)
            last = self._length if end is None else min(block + end, self._length)
            found = UrlCitation(url, title, first, max(first, last))
            if found not in self._found:
                self._held.add(len(url) + len(title or ""), items=1)
                self._found[found] = None

    def chunks(self) -> list[Part]:
        return [Annotations(tuple(self._found))] if self._found else []
