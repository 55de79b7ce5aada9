"""The answer of the older completions endpoint: text, and nothing else that an agent says.

Source: OpenAI API description, `CreateCompletionResponse`; a stream has the same objects, piece by piece.
"""

from __future__ import annotations

from typing import Any

from ....core import json_text, sse
from ....core.answer import Chunk, Content, Contents, Envelope, Finish, Role, UsageReport

FINISH_REASONS = {"length": "length", "content_filter": "content_filter"}
"""This endpoint knows no tool calls: everything else is a stop."""


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
    """Chunks → bytes of one stream."""

    def __init__(self, envelope: Envelope, *, include_usage: bool, echo: str) -> None:
        """`echo`: the prompt, if the client wants it in front of the text."""
        self._envelope = envelope
        self._include_usage = include_usage
        self._echo = echo
        self.chunks = 0
        """That were encoded."""

    def encode(self, chunk: Chunk) -> bytes:
        """The chunk as it is sent; empty if this endpoint does not show it."""
        if isinstance(chunk, Content):
            return self._event([_choice(chunk.text, None)])
        if isinstance(chunk, Contents):
            start, end = self._event([_choice("", None)]).split(b'"text":""', 1)
            self.chunks += len(chunk.encoded) - 1
            return b"".join([b'%b"text":"%b"%b' % (start, text, end) for text in chunk.encoded])
        if isinstance(chunk, Role):
            return self._event([_choice(self._echo, None)]) if self._echo else b""
        if isinstance(chunk, Finish):
            return self._event([_choice("", FINISH_REASONS.get(chunk.reason, "stop"))])
        if isinstance(chunk, UsageReport) and self._include_usage:
            return self._event([], chunk)
        return b""

    def ping(self) -> bytes:
        """A keep-alive: a piece of text that is empty, and that is not counted."""
        return self._encode([_choice("", None)])

    def _event(self, choices: list[dict[str, Any]], usage: UsageReport | None = None) -> bytes:
        self.chunks += 1
        return self._encode(choices, usage)

    def _encode(self, choices: list[dict[str, Any]], usage: UsageReport | None = None) -> bytes:
        completion = _completion(self._envelope, choices)
        if self._include_usage:
            completion["usage"] = usage and usage.body()
        return sse.encode(json_text.encode(completion))


class CompletionCollector:
    """Chunks → one body."""

    def __init__(self, envelope: Envelope, *, echo: str) -> None:
        self._envelope = envelope
        self._text = [echo]
        self._finish_reason = "stop"
        self._usage: UsageReport | None = None

    def add(self, chunk: Chunk) -> None:
        if isinstance(chunk, (Content, Contents)):
            self._text.append(chunk.text)
        elif isinstance(chunk, Finish):
            self._finish_reason = FINISH_REASONS.get(chunk.reason, "stop")
        elif isinstance(chunk, UsageReport):
            self._usage = chunk

    def body(self) -> bytes:
        completion = _completion(self._envelope, [_choice("".join(self._text), self._finish_reason)])
        if self._usage is not None:
            completion["usage"] = self._usage.body()
        return json_text.encode(completion)
