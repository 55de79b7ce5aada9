"""Output items: each is opened, gets its content, and is closed once. Opening and closing return the events to send.

Source: OpenAI API description, `OutputItem` and the events of `ResponseStreamEvent`; their order as recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from .....core import json_text
from .....core.answer import UrlCitation
from .frames import DeltaFrames, Event

Status = Literal["completed", "incomplete"]


class Item(ABC):
    """One entry of `output`. `id`: the same in all of its events and in the final `output`."""

    prefix: str

    def __init__(self, index: int, answer: str) -> None:
        """`index`: the item's place in `output`. `answer`: makes the ids of this answer's items unique."""
        self.index = index
        self.id = f"{self.prefix}_{answer}{index:04x}"
        self.done = b""
        """The item as JSON, once it is closed."""

    @property
    def place(self) -> bytes:
        return b'"item_id":"%b","output_index":%d' % (self.id.encode(), self.index)

    @abstractmethod
    def open(self) -> list[Event]: ...

    @abstractmethod
    def close(self, status: Status) -> list[Event]: ...

    @abstractmethod
    def idle(self) -> Event:
        """An event of the open item that changes nothing: a keep-alive."""

    def _added(self, item: bytes) -> Event:
        return Event("response.output_item.added", b'"output_index":%d,"item":%b' % (self.index, item))

    def _done(self, item: bytes) -> Event:
        self.done = item
        return Event("response.output_item.done", b'"output_index":%d,"item":%b' % (self.index, item))


class MessageItem(Item):
    """The agent's text: a message with one `output_text` part."""

    prefix = "msg"

    def __init__(self, index: int, answer: str, start: int) -> None:
        """`start`: characters of the answer's text before this message."""
        super().__init__(index, answer)
        self._start = start
        self._part_place = self.place + b',"content_index":0'
        self.deltas = DeltaFrames(b"response.output_text.delta", self._part_place + b',"logprobs":[]')
        self.pieces: list[str] = []
        self._annotations: list[bytes] = []
        self._status = b""

    def open(self) -> list[Event]:
        part = self._part(b'""')
        return [
            self._added(self._item(b"in_progress", b"")),
            Event("response.content_part.added", b'%b,"part":%b' % (self._part_place, part)),
        ]

    def add(self, text: str) -> list[Event]:
        self.pieces.append(text)
        return [self._delta(json_text.encode(text))]

    def cite(self, citations: tuple[UrlCitation, ...]) -> list[Event]:
        """Positions count from the beginning of this item; a citation of an earlier item's text gets position 0."""
        return list(map(self._annotate, citations))

    def cite_closed(self, citations: tuple[UrlCitation, ...]) -> None:
        """Adds citations without events: none may follow the item's end."""
        self.cite(citations)
        self.done = self._item(self._status, self._part(json_text.encode("".join(self.pieces))))

    def close(self, status: Status) -> list[Event]:
        self._status = status.encode()
        text = json_text.encode("".join(self.pieces))
        part = self._part(text)
        return [
            Event("response.output_text.done", b'%b,"text":%b,"logprobs":[]' % (self._part_place, text)),
            Event("response.content_part.done", b'%b,"part":%b' % (self._part_place, part)),
            self._done(self._item(self._status, part)),
        ]

    def idle(self) -> Event:
        return self._delta(b'""')

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))

    def _delta(self, text: bytes) -> Event:
        return Event("response.output_text.delta", b'%b,"delta":%b,"logprobs":[]' % (self._part_place, text))

    def _annotate(self, citation: UrlCitation) -> Event:
        url, title, start, end = citation
        annotation = json_text.encode(
            {
                "type": "url_citation",
                "start_index": max(0, start - self._start),
                "end_index": max(0, end - self._start),
                "url": url,
                "title": title,
            }
        )
        fields = b'%b,"annotation_index":%d,"annotation":%b' % (self._part_place, len(self._annotations), annotation)
        self._annotations.append(annotation)
        return Event("response.output_text.annotation.added", fields)

    def _part(self, text: bytes) -> bytes:
        annotations = b",".join(self._annotations)
        return b'{"type":"output_text","text":%b,"annotations":[%b],"logprobs":[]}' % (text, annotations)

    def _item(self, status: bytes, part: bytes) -> bytes:
        words = (self.id.encode(), status, part)
        return b'{"id":"%b","type":"message","status":"%b","role":"assistant","content":[%b]}' % words


class ReasoningItem(Item):
    """The agent's reasoning as a `summary_text`, which most clients show."""

    prefix = "rs"
    _part_type = b"summary_text"
    _index_name = b"summary_index"
    _part_event = "response.reasoning_summary_part"
    _text_event = "response.reasoning_summary_text"

    def __init__(self, index: int, answer: str, token: str = "") -> None:
        """`token`: the session's token. The client's next request sends the item back, and so finds the session."""
        super().__init__(index, answer)
        self._part_place = b'%b,"%b":0' % (self.place, self._index_name)
        self._token = b',"encrypted_content":%b' % json_text.encode(token) if token else b""
        self._pieces: list[str] = []

    def open(self) -> list[Event]:
        return [
            self._added(self._item(b"")),
            Event(f"{self._part_event}.added", b'%b,"part":%b' % (self._part_place, self._part(b'""'))),
        ]

    def add(self, text: str) -> list[Event]:
        self._pieces.append(text)
        return [self._delta(json_text.encode(text))]

    def close(self, status: Status) -> list[Event]:
        text = json_text.encode("".join(self._pieces))
        part = self._part(text)
        return [
            Event(f"{self._text_event}.done", b'%b,"text":%b' % (self._part_place, text)),
            Event(f"{self._part_event}.done", b'%b,"part":%b' % (self._part_place, part)),
            self._done(self._item(part)),
        ]

    def idle(self) -> Event:
        return self._delta(b'""')

    def _delta(self, text: bytes) -> Event:
        return Event(f"{self._text_event}.delta", b'%b,"delta":%b' % (self._part_place, text))

    def _part(self, text: bytes) -> bytes:
        return b'{"type":"%b","text":%b}' % (self._part_type, text)

    def _item(self, part: bytes) -> bytes:
        return b'{"id":"%b","type":"reasoning","summary":[%b]%b}' % (self.id.encode(), part, self._token)


class RawReasoningItem(ReasoningItem):
    """The agent's reasoning as `reasoning_text`, for `--responses-reasoning text`."""

    _part_type = b"reasoning_text"
    _index_name = b"content_index"
    _part_event = "response.content_part"
    _text_event = "response.reasoning_text"

    def _item(self, part: bytes) -> bytes:
        return b'{"id":"%b","type":"reasoning","summary":[],"content":[%b]%b}' % (self.id.encode(), part, self._token)


class TokenItem(ReasoningItem):
    """An empty reasoning item, which only carries the token."""

    def open(self) -> list[Event]:
        return [self._added(self._item(b""))]

    def close(self, status: Status) -> list[Event]:
        return [self._done(self._item(b""))]
