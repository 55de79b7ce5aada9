"""The parts of an answer → the events of a Messages stream.

Source: `api/anthropic/PROTOCOL.md`, "Stream".
"""

from __future__ import annotations

from typing import Any

from ....core import json_text
from ....core.answer import AnswerFinished, AnswerStarted, Envelope, Part, UsageTotals
from ....core.errors import ProxyError
from ..errors import error_object
from .blocks import AnswerBlocks, BlockOptions
from .frames import PING, DeltaFrames, encode_event
from .message import STOP_REASONS, message_object, usage_object


class EventWriter:
    """Writes the blocks of an answer as events."""

    def __init__(self) -> None:
        # state
        self.chunks = 0
        self._index = -1
        self._texts = DeltaFrames(0, b"text_delta", b"text")

    def open(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        self._texts = DeltaFrames(self._index, b"text_delta", b"text")
        return self._event(b"content_block_start", b',"content_block":%b' % json_text.encode(block))

    def add_text(self, texts: list[bytes], text: str) -> bytes:
        self.chunks += len(texts)
        return self._texts.encode(texts) if texts else b""

    def add_thinking(self, text: str) -> bytes:
        return self._delta({"type": "thinking_delta", "thinking": text})

    def add_arguments(self, text: str) -> bytes:
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def sign(self, signature: str) -> bytes:
        return self._delta({"type": "signature_delta", "signature": signature})

    def cite(self, citation: dict[str, Any]) -> bytes:
        return self._delta({"type": "citations_delta", "citation": citation})

    def close(self) -> bytes:
        return self._event(b"content_block_stop", b"")

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._event(b"content_block_delta", b',"delta":%b' % json_text.encode(delta))

    def _event(self, kind: bytes, fields: bytes) -> bytes:
        self.chunks += 1
        return encode_event(kind, b',"index":%d%b' % (self._index, fields))


class MessageEncoder:
    """Encodes one stream: `encode` each part, then `end` or `fail` once."""

    def __init__(self, envelope: Envelope, options: BlockOptions) -> None:
        self._envelope = envelope
        self._writer = EventWriter()
        self._blocks = AnswerBlocks(self._writer, options)
        # state
        self._has_started = False
        self._stop_reason = "end_turn"
        self._usage: UsageTotals | None = None

    @property
    def chunks(self) -> int:
        """Number of events encoded so far, without keep-alives."""
        return self._writer.chunks

    def encode(self, part: Part) -> bytes:
        """The events of one part; empty if it has none. Raises UpstreamAnswerTooLong."""
        if isinstance(part, AnswerStarted):
            return self._start()
        if isinstance(part, UsageTotals):
            self._usage = part
            return b""
        if isinstance(part, AnswerFinished):
            self._stop_reason = STOP_REASONS[part.reason]
        return self._blocks.add(part)

    def ping(self) -> bytes:
        return PING

    def end(self) -> bytes:
        """The events with stop reason and usage, which are known only at the end, and `message_stop`."""
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        fields = b',"delta":%b,"usage":%b' % (json_text.encode(delta), json_text.encode(usage_object(self._usage)))
        return self._event(b"message_delta", fields) + self._event(b"message_stop")

    def fail(self, error: ProxyError) -> bytes:
        """An `error` event. Without a `message_start` before it, clients take it for an error of HTTP and repeat."""
        start = b"" if self._has_started else self._start()
        return start + self._event(b"error", b',"error":%b' % json_text.encode(error_object(error)))

    def _start(self) -> bytes:
        self._has_started = True
        message = message_object(self._envelope, [], None, None)
        return self._event(b"message_start", b',"message":%b' % json_text.encode(message))

    def _event(self, kind: bytes, fields: bytes = b"") -> bytes:
        self._writer.chunks += 1
        return encode_event(kind, fields)
