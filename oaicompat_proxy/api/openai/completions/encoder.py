"""Encodes the answer of the older completions endpoint, which has only text.

Source: OpenAI API description, `CreateCompletionResponse`; a stream has the same objects, piece by piece.
"""

from __future__ import annotations

from typing import Any

from ....core import json_text, sse
from ....core.answer import (
    AnswerFinished,
    AnswerStarted,
    Envelope,
    FinishReason,
    Part,
    TextBatch,
    TextPart,
    UsageTotals,
)
from ....core.errors import ProxyError
from ..answer_objects import encode_usage
from ..errors import error_ending

FINISH_REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "stop",
    FinishReason.CONTENT_FILTER: "content_filter",
}
"""OpenAI's names of the reasons. The endpoint has no tool calls, so these end with `stop`."""


def _choice(text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}


def _completion(envelope: Envelope, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": envelope.id,
        "object": "text_completion",
        "created": envelope.created,
        "model": envelope.model,
        "choices": choices,
    }


class CompletionEncoder:
    """Encodes one stream."""

    def __init__(self, envelope: Envelope, *, include_usage: bool, echo: str) -> None:
        """`echo`: the prompt, if the client wants it in front of the text."""
        self._envelope = envelope
        self._include_usage = include_usage
        self._echo = echo
        self.chunks = 0
        """Number of chunks encoded so far."""

    def encode(self, part: Part) -> bytes:
        """The chunks of one part; empty if this endpoint does not show it."""
        if isinstance(part, TextPart):
            return self._event([_choice(part.text, None)])
        if isinstance(part, TextBatch):
            start, end = self._event([_choice("", None)]).split(b'"text":""', 1)
            self.chunks += len(part.encoded) - 1
            return b"".join([b'%b"text":"%b"%b' % (start, text, end) for text in part.encoded])
        if isinstance(part, AnswerStarted):
            return self._event([_choice(self._echo, None)]) if self._echo else b""
        if isinstance(part, AnswerFinished):
            return self._event([_choice("", FINISH_REASONS[part.reason])])
        if isinstance(part, UsageTotals) and self._include_usage:
            return self._event([], part)
        return b""

    def end(self) -> bytes:
        """The last event of a stream, which is no chunk."""
        return sse.DONE

    def fail(self, error: ProxyError) -> bytes:
        """The end of a stream that failed."""
        return error_ending(error)

    def ping(self) -> bytes:
        """A keep-alive: an event with empty text, which `chunks` does not count."""
        return self._encode([_choice("", None)])

    def _event(self, choices: list[dict[str, Any]], usage: UsageTotals | None = None) -> bytes:
        self.chunks += 1
        return self._encode(choices, usage)

    def _encode(self, choices: list[dict[str, Any]], usage: UsageTotals | None = None) -> bytes:
        completion = _completion(self._envelope, choices)
        if self._include_usage:
            completion["usage"] = usage and encode_usage(usage)
        return sse.encode(json_text.encode(completion))


class CompletionCollector:
    """Collects all parts of an answer into one body."""

    def __init__(self, envelope: Envelope, *, echo: str) -> None:
        self._envelope = envelope
        self._text = [echo]
        self._finish_reason = "stop"
        self._usage: UsageTotals | None = None

    def add(self, part: Part) -> None:
        if isinstance(part, (TextPart, TextBatch)):
            self._text.append(part.text)
        elif isinstance(part, AnswerFinished):
            self._finish_reason = FINISH_REASONS[part.reason]
        elif isinstance(part, UsageTotals):
            self._usage = part

    def body(self) -> bytes:
        completion = _completion(self._envelope, [_choice("".join(self._text), self._finish_reason)])
        if self._usage is not None:
            completion["usage"] = encode_usage(self._usage)
        return json_text.encode(completion)
