"""The chunks of an answer → one `chat.completion`, for a client that does not stream.

Source: OpenAI API description, `CreateChatCompletionResponse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core import json_text
from ....core.answer import (
    Annotations,
    Chunk,
    Content,
    Contents,
    Envelope,
    Finish,
    Reasoning,
    ToolCallArguments,
    ToolCallHead,
    UrlCitation,
    UsageReport,
)
from .encoder import REASONING_FIELDS, legacy_reason


class Collector:
    """Takes every chunk of an answer; `body()` is the answer, once the finish chunk is in."""

    def __init__(self, envelope: Envelope, *, reasoning_field: str, legacy_functions: bool = False) -> None:
        self._envelope = envelope
        self._reasoning_fields = REASONING_FIELDS[reasoning_field]
        self._legacy = legacy_functions
        # moving
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCallHead] = []
        self._arguments: list[list[str]] = []
        self._citations: tuple[UrlCitation, ...] = ()
        self._finish_reason: str | None = None
        self._usage: UsageReport | None = None

    def add(self, chunk: Chunk) -> None:
        take = _TAKERS.get(type(chunk))
        if take is not None:
            take(self, chunk)

    def body(self) -> bytes:
        """The whole answer as JSON."""
        reason = self._finish_reason
        if self._legacy and reason is not None:
            reason = legacy_reason(reason)
        completion = {
            "id": self._envelope.id,
            "object": "chat.completion",
            "created": self._envelope.created,
            "model": self._envelope.model,
            "choices": [{"index": 0, "message": self._message(), "logprobs": None, "finish_reason": reason}],
        }
        if self._usage is not None:
            completion["usage"] = self._usage.body()
        return json_text.encode(completion)

    def _message(self) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not self._calls else None,
            "refusal": None,
            "annotations": [citation.body() for citation in self._citations],
        }
        if self._reasoning:
            message |= dict.fromkeys(self._reasoning_fields, "".join(self._reasoning))
        if self._calls:
            message |= self._call_fields()
        return message

    def _call_fields(self) -> dict[str, Any]:
        functions = [
            {"name": head.name, "arguments": "".join(pieces)}
            for head, pieces in zip(self._calls, self._arguments, strict=True)
        ]
        if self._legacy:
            return {"function_call": functions[0]}
        return {
            "tool_calls": [
                {"id": head.id, "type": "function", "function": function}
                for head, function in zip(self._calls, functions, strict=True)
            ]
        }

    def _take_head(self, chunk: ToolCallHead) -> None:
        self._calls.append(chunk)
        self._arguments.append([])

    def _take_annotations(self, chunk: Annotations) -> None:
        self._citations = chunk.citations

    def _take_finish(self, chunk: Finish) -> None:
        self._finish_reason = chunk.reason

    def _take_usage(self, chunk: UsageReport) -> None:
        self._usage = chunk


_TAKERS: dict[type[Any], Callable[[Collector, Any], None]] = {
    Content: lambda self, chunk: self._text.append(chunk.text),
    Contents: lambda self, chunk: self._text.append(chunk.text),
    Reasoning: lambda self, chunk: self._reasoning.append(chunk.text),
    ToolCallHead: Collector._take_head,
    ToolCallArguments: lambda self, chunk: self._arguments[chunk.position].append(chunk.arguments),
    Annotations: Collector._take_annotations,
    Finish: Collector._take_finish,
    UsageReport: Collector._take_usage,
}
