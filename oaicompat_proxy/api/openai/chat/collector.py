"""The parts of an answer → one `chat.completion`, for a client that does not stream.

Source: OpenAI API description, `CreateChatCompletionResponse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core import json_text
from ....core.answer import (
    Annotations,
    AnswerFinished,
    Envelope,
    FinishReason,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from ..answer_objects import encode_citation, encode_usage
from ..custom_tools import free_text
from .encoder import REASONING_FIELDS, finish_reason


class Collector:
    """Collects all parts of an answer; `body()` may be called after AnswerFinished."""

    def __init__(
        self,
        envelope: Envelope,
        *,
        reasoning_field: str,
        legacy_functions: bool = False,
        custom_tools: frozenset[str] = frozenset(),
    ) -> None:
        """`custom_tools`: the client's tools whose input is free text. The chunks of a stream have no form for them."""
        self._envelope = envelope
        self._reasoning_fields = REASONING_FIELDS[reasoning_field]
        self._legacy = legacy_functions
        self._custom_tools = custom_tools
        # state
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCallOpened] = []
        self._arguments: list[list[str]] = []
        self._citations: tuple[UrlCitation, ...] = ()
        self._finish_reason: FinishReason | None = None
        self._usage: UsageTotals | None = None

    def add(self, part: Part) -> None:
        handle = _HANDLERS.get(type(part))
        if handle is not None:
            handle(self, part)

    def body(self) -> bytes:
        """The whole answer as JSON."""
        reason = self._finish_reason
        word = reason and finish_reason(reason, legacy_functions=self._legacy)
        completion = {
            "id": self._envelope.id,
            "object": "chat.completion",
            "created": self._envelope.created,
            "model": self._envelope.model,
            "choices": [{"index": 0, "message": self._message(), "logprobs": None, "finish_reason": word}],
        }
        if self._usage is not None:
            completion["usage"] = encode_usage(self._usage)
        return json_text.encode(completion)

    def _message(self) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not self._calls else None,
            "refusal": None,
            "annotations": list(map(encode_citation, self._citations)),
        }
        if self._reasoning:
            message |= dict.fromkeys(self._reasoning_fields, "".join(self._reasoning))
        if self._calls:
            message |= self._call_fields()
        return message

    def _call_fields(self) -> dict[str, Any]:
        arguments = list(map("".join, self._arguments))
        if self._legacy:
            return {"function_call": {"name": self._calls[0].name, "arguments": arguments[0]}}
        return {"tool_calls": list(map(self._call_object, self._calls, arguments))}

    def _call_object(self, call: ToolCallOpened, arguments: str) -> dict[str, Any]:
        if call.name in self._custom_tools:
            return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": free_text(arguments)}}
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _add_call(self, part: ToolCallOpened) -> None:
        self._calls.append(part)
        self._arguments.append([])

    def _add_citations(self, part: Annotations) -> None:
        self._citations += part.citations

    def _set_finish_reason(self, part: AnswerFinished) -> None:
        self._finish_reason = part.reason

    def _set_usage(self, part: UsageTotals) -> None:
        self._usage = part


_HANDLERS: dict[type[Any], Callable[[Collector, Any], None]] = {
    TextPart: lambda self, part: self._text.append(part.text),
    TextBatch: lambda self, part: self._text.append(part.text),
    ReasoningPart: lambda self, part: self._reasoning.append(part.text),
    ToolCallOpened: Collector._add_call,
    ToolCallArguments: lambda self, part: self._arguments[part.position].append(part.arguments),
    Annotations: Collector._add_citations,
    AnswerFinished: Collector._set_finish_reason,
    UsageTotals: Collector._set_usage,
}
