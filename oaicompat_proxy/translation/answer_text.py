"""Text, reasoning and citations of one answer, over all ticks of a run."""

from __future__ import annotations

import orjson

from ..core.answer import Part, ReasoningPart, TextPart
from ..core.events import Citation, MessageCompleted, TextDeltas
from .buffer_limit import BufferLimit
from .citations import Citations
from .text_channel import TextChannel


class AnswerText:
    """Text and reasoning of one answer. Methods return the parts to send now."""

    __slots__ = ("_citations", "_is_contiguous", "_reasoning", "_text")

    def __init__(self, separator: str, limit: BufferLimit) -> None:
        """`separator` stands between the texts of two ticks. `limit`: as in Citations."""
        self._text = TextChannel(separator)
        self._reasoning = TextChannel(separator)
        self._citations = Citations(limit)
        # state
        self._is_contiguous = False
        """The last part was a batch of text, so the next batch of its block can only make the text longer."""

    @property
    def has_text(self) -> bool:
        """The agent wrote text of its own; narration and reasoning do not count."""
        return self._text.has_text

    def add_text(self, text: str) -> list[Part]:
        self._is_contiguous = False
        sent = self._text.append(text)
        if not sent:
            return []
        self._citations.advance(len(sent), len(text))
        return [TextPart(sent)]

    def add_batch(self, deltas: TextDeltas) -> list[Part]:
        text = deltas.text
        if self._is_contiguous:  # saves two calls a read
            self._citations.length += len(text)
            return [deltas]
        if self._text.append_unchanged():
            self._citations.advance(len(text), len(text))
            self._is_contiguous = True
            return [deltas]
        first, *rest = deltas.encoded
        first_text = orjson.loads(b'"%b"' % first)
        parts = self.add_text(first_text)
        return parts + self.add_batch(TextDeltas(text[len(first_text) :], rest)) if rest else parts

    def add_reasoning(self, text: str) -> list[Part]:
        text = self._reasoning.append(text)
        return [ReasoningPart(text)] if text else []

    def add_missing(self, message: MessageCompleted) -> list[Part]:
        """Adds from the copy of a tick's message what was not streamed."""
        parts: list[Part] = []
        if not self._reasoning.has_text_in_tick:
            parts += self.add_reasoning(message.reasoning)
        if not self._text.has_text_in_tick:
            parts += self.add_text(message.text)
        return parts

    def add_narration(self, line: str, *, in_content: bool) -> list[Part]:
        """Adds a line that the proxy wrote: to the text with `in_content`, else to the reasoning."""
        self._is_contiguous = False
        if not in_content:
            return [ReasoningPart(self._reasoning.insert_paragraph(line))]
        sent = self._text.insert_paragraph(line)
        self._citations.advance(len(sent), 0)
        return [TextPart(sent)]

    def add_citations(self, citations: tuple[Citation, ...]) -> list[Part]:
        """Sends them at once, because a tool call ends their message. Without any text they wait for the end: a source
        alone does not begin an answer.
        """
        self._citations.add(citations)
        return self._citations.take() if self._citations.length else []

    def start_block(self, *, new_message: bool = False) -> list[Part]:
        """`new_message`: the block belongs to another message, so a paragraph ends in front of it."""
        self._is_contiguous = False
        sent = self._text.break_here() if new_message else ""
        self._citations.advance(len(sent), 0)
        self._citations.start_block()
        return [TextPart(sent)] if sent else []

    def start_reasoning(self) -> list[Part]:
        sent = self._reasoning.break_here()
        return [ReasoningPart(sent)] if sent else []

    def end_tick(self) -> list[Part]:
        """Ends a tick; returns the rest of its reasoning and text."""
        self._is_contiguous = False
        parts: list[Part] = []
        if self._reasoning.has_text_in_tick and (reasoning := self._reasoning.end_tick()):
            parts.append(ReasoningPart(reasoning))
        if self._text.has_text_in_tick and (text := self._text.end_tick()):
            parts.append(TextPart(text))
        return parts

    def end(self) -> list[Part]:
        """Ends the answer: the rest of the last tick, and the citations that wait."""
        return self.end_tick() + self._citations.take()
