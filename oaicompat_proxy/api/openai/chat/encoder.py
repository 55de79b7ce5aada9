"""The chunks of an answer, and their bytes on an OpenAI stream.

Source: OpenAI API description, `CreateChatCompletionStreamResponse`; order and fields as the official clients
read them. One answer is one choice: index 0.
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
    Role,
    ToolCallArguments,
    ToolCallHead,
    UsageReport,
)

REASONING_FIELDS = {
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "both": ("reasoning_content", "reasoning"),
    "none": (),
}
"""Where reasoning goes, by setting: OpenAI's chat has no field for it, so every server chose its own."""


_ROLE = {
    with_text: b'{"role":"assistant","content":%b,"refusal":null}' % content
    for with_text, content in [(True, b'""'), (False, b"null")]
}
_OPEN = b',"logprobs":null,"finish_reason":null'
_ENDS = {
    include_usage: (_OPEN + end, b'"}' + _OPEN + end, end)
    for include_usage, end in [(True, b'}],"usage":null}\n\n'), (False, b"}]}\n\n")]
}
"""What stands behind a delta, behind a piece of content and behind the finish reason, by whether usage is included."""


class ChunkEncoder:
    """Chunks → bytes of one stream. What all chunks share is encoded once."""

    __slots__ = (
        "_between_texts",
        "_delta",
        "_include_usage",
        "_last_end",
        "_legacy",
        "_open_end",
        "_reasoning",
        "_reasoning_chunk",
        "_start",
        "_text_end",
        "_text_start",
        "chunks",
    )

    def __init__(
        self, envelope: Envelope, *, include_usage: bool, reasoning_field: str, legacy_functions: bool = False
    ) -> None:
        """`legacy_functions`: the client declared `functions`, so a call goes out as `function_call`."""
        self.chunks = 0
        """That were encoded."""
        self._include_usage = include_usage
        self._reasoning = REASONING_FIELDS[reasoning_field]
        self._legacy = legacy_functions
        answer_id, created, model = envelope
        shared = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._start = b"data: " + json_text.encode(shared)[:-1]
        self._delta = self._start + b',"choices":[{"index":0,"delta":'
        self._open_end, self._text_end, self._last_end = _ENDS[include_usage]
        self._text_start = self._delta + b'{"content":"'
        self._between_texts = self._text_end + self._text_start
        self._reasoning_chunk = -1
        """The number of the last chunk that carried reasoning: no other chunk has to take note of it."""

    def encode(self, chunk: Chunk) -> bytes:
        """The chunk as it is sent; empty if this stream does not show it."""
        if type(chunk) is Contents:
            self.chunks += len(chunk.encoded)
            return self._text_start + self._between_texts.join(chunk.encoded) + self._text_end
        if type(chunk) is Content:
            self.chunks += 1
            return self._text_start + json_text.encode(chunk.text)[1:-1] + self._text_end
        encoded = _ENCODERS[type(chunk)](self, chunk)
        if encoded:
            self.chunks += 1
        return encoded

    def ping(self) -> bytes:
        """A keep-alive: a chunk that says nothing, and that is not counted.

        While reasoning goes on the empty string stands in its fields, because some clients close their block of
        reasoning at the first chunk without them.
        """
        reasons = self.chunks == self._reasoning_chunk
        return self._with_delta(dict.fromkeys(self._reasoning, "") if reasons else {})

    def _with_delta(self, delta: dict[str, Any]) -> bytes:
        return self._delta + json_text.encode(delta) + self._open_end

    def _role(self, chunk: Role) -> bytes:
        return self._delta + _ROLE[chunk.with_text] + self._open_end

    def _reasoning_delta(self, chunk: Reasoning) -> bytes:
        if not self._reasoning:
            return b""
        self._reasoning_chunk = self.chunks + 1
        return self._with_delta(dict.fromkeys(self._reasoning, chunk.text))

    def _head(self, chunk: ToolCallHead) -> bytes:
        function = {"name": chunk.name, "arguments": ""}
        if self._legacy:
            return self._with_delta({"function_call": function}) if chunk.position == 0 else b""
        call = {"index": chunk.position, "id": chunk.id, "type": "function", "function": function}
        return self._with_delta({"tool_calls": [call]})

    def _arguments(self, chunk: ToolCallArguments) -> bytes:
        function = {"arguments": chunk.arguments}
        if self._legacy:
            return self._with_delta({"function_call": function}) if chunk.position == 0 else b""
        return self._with_delta({"tool_calls": [{"index": chunk.position, "function": function}]})

    def _annotations(self, chunk: Annotations) -> bytes:
        return self._with_delta({"annotations": [citation.body() for citation in chunk.citations]})

    def _finish(self, chunk: Finish) -> bytes:
        reason = legacy_reason(chunk.reason) if self._legacy else chunk.reason
        return b'%b{},"logprobs":null,"finish_reason":"%b"%b' % (self._delta, reason.encode(), self._last_end)

    def _usage(self, chunk: UsageReport) -> bytes:
        if not self._include_usage:
            return b""
        return self._start + b',"choices":[],"usage":' + json_text.encode(chunk.body()) + b"}\n\n"


def legacy_reason(reason: str) -> str:
    """The finish reason for a client that knows no tools, only functions."""
    return "function_call" if reason == "tool_calls" else reason


_ENCODERS: dict[type[Any], Callable[[ChunkEncoder, Any], bytes]] = {
    Role: ChunkEncoder._role,
    Reasoning: ChunkEncoder._reasoning_delta,
    ToolCallHead: ChunkEncoder._head,
    ToolCallArguments: ChunkEncoder._arguments,
    Annotations: ChunkEncoder._annotations,
    Finish: ChunkEncoder._finish,
    UsageReport: ChunkEncoder._usage,
}
