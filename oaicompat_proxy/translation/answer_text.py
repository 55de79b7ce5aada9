"""What the answer says: text, reasoning, and what the text refers to, over all ticks of a run."""

from __future__ import annotations

import orjson

from ..core.answer import Part, ReasoningPart, TextBatch, TextPart
from ..core.events import Citation, MessageCompleted, TextDeltas
from .citations import Citations
from .held import Held
from .text_channel import Channel


class Speech:
    """Both channels of one answer. Methods return the chunks to send now."""

    def __init__(self, separator: str, held: Held) -> None:
        """`separator` stands between the texts of two ticks. `held`: as in Citations."""
        self._text = Channel(separator)
        self._reasoning = Channel(separator)
        self._citations = Citations(held)

    @property
    def said_anything(self) -> bool:
        """Whether any text of the agent's own went out."""
        return self._text.said

    def flows(self) -> bool:
        """Whether the next text follows directly on what is out."""
        return self._text.flowing

    def note_text(self, length: int) -> None:
        """So many characters of it did."""
        self._citations.note_length(length)

    def say(self, text: str) -> list[Part]:
        said = self._text.feed(text)
        if not said:
            return []
        self._citations.note_text(said, text)
        return [TextPart(said)]

    def say_all(self, deltas: TextDeltas) -> list[Part]:
        text, encoded = deltas
        if self._text.flow():
            self._citations.note_length(len(text))
            return [TextBatch(text, encoded)]
        first = orjson.loads(b'"%b"' % encoded[0])
        chunks = self.say(first)
        return chunks + self.say_all(TextDeltas(text[len(first) :], encoded[1:])) if encoded[1:] else chunks

    def think(self, text: str) -> list[Part]:
        text = self._reasoning.feed(text)
        return [ReasoningPart(text)] if text else []

    def complete(self, message: MessageCompleted) -> list[Part]:
        """A copy of the tick's message: says what has not come in pieces."""
        chunks: list[Part] = []
        if not self._reasoning.said_in_tick:
            chunks += self.think(message.reasoning)
        if not self._text.said_in_tick:
            chunks += self.say(message.text)
        return chunks

    def tell(self, line: str, *, in_content: bool) -> list[Part]:
        """A line that is not the agent's own words."""
        if not in_content:
            return [ReasoningPart(self._reasoning.interject(line))]
        told = self._text.interject(line)
        self._citations.note_text(told, "")
        return [TextPart(told)]

    def start_block(self, *, apart: bool = False) -> list[Part]:
        """`apart`: of another message, so it does not flow on from what was said."""
        said = self._text.pause() if apart else ""
        self._citations.note_text(said, "")
        self._citations.start_block()
        return [TextPart(said)] if said else []

    def start_thought(self) -> list[Part]:
        thought = self._reasoning.pause()
        return [ReasoningPart(thought)] if thought else []

    def cite(self, citations: tuple[Citation, ...]) -> list[Part]:
        """Sends nothing yet: citations stand at the end of an answer."""
        self._citations.add(citations)
        return []

    def end_tick(self) -> list[Part]:
        """What is still to be sent of the tick that is over."""
        chunks: list[Part] = []
        if self._reasoning.said_in_tick and (thought := self._reasoning.end_tick()):
            chunks.append(ReasoningPart(thought))
        if self._text.said_in_tick and (said := self._text.end_tick()):
            chunks.append(TextPart(said))
        return chunks

    def close(self) -> list[Part]:
        """The last of it, with everything that was referred to."""
        return self.end_tick() + self._citations.chunks()
