"""The parts of an answer → one message, for a client that does not stream."""

from __future__ import annotations

from typing import Any

from ....core import json_text
from ....core.answer import AnswerFinished, Envelope, Part, UsageTotals
from .blocks import AnswerBlocks, BlockOptions
from .call_input import parse_input
from .message import STOP_REASONS, message_object


class BlockCollector:
    """Collects the blocks of an answer. The fields that grow are joined when their block is closed."""

    def __init__(self) -> None:
        # state
        self.content: list[dict[str, Any]] = []
        self._pieces: list[str] = []

    def open(self, block: dict[str, Any]) -> bytes:
        self.content.append(block)
        self._pieces = []
        return b""

    def add_text(self, texts: list[bytes], text: str) -> bytes:
        return self._add(text)

    def add_thinking(self, text: str) -> bytes:
        return self._add(text)

    def add_arguments(self, text: str) -> bytes:
        return self._add(text)

    def sign(self, signature: str) -> bytes:
        self.content[-1]["signature"] = signature
        return b""

    def cite(self, citation: dict[str, Any]) -> bytes:
        self.content[-1].setdefault("citations", []).append(citation)
        return b""

    def close(self) -> bytes:
        block = self.content[-1]
        if block["type"] in ("text", "thinking"):
            block[block["type"]] = "".join(self._pieces)
        elif block["type"] == "tool_use":
            block["input"] = parse_input("".join(self._pieces))
        return b""

    def _add(self, text: str) -> bytes:
        self._pieces.append(text)
        return b""


class MessageBuilder:
    """Collects all parts of an answer; `body()` may be called after AnswerFinished."""

    def __init__(self, envelope: Envelope, options: BlockOptions) -> None:
        self._envelope = envelope
        self._collector = BlockCollector()
        self._blocks = AnswerBlocks(self._collector, options)
        # state
        self._stop_reason = "end_turn"
        self._usage: UsageTotals | None = None

    def add(self, part: Part) -> None:
        if isinstance(part, UsageTotals):
            self._usage = part
            return
        if isinstance(part, AnswerFinished):
            self._stop_reason = STOP_REASONS[part.reason]
        self._blocks.add(part)

    def body(self) -> bytes:
        """The whole message as JSON, equal to the sum of a stream's events."""
        message = message_object(self._envelope, self._collector.content, self._stop_reason, self._usage)
        return json_text.encode(message)
