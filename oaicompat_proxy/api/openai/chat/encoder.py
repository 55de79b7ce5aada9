"""The parts of an answer → `chat.completion.chunk` events of a stream.

Source: OpenAI API description, `CreateChatCompletionStreamResponse`; order and fields as the official clients
read them. One answer is one choice: index 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core import json_text, sse
from ....core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    AnswerFinished,
    AnswerStarted,
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
from ....core.errors import ProxyError
from ..answer_objects import encode_citation, encode_usage
from ..errors import error_ending

REASONING_FIELDS = {
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "both": ("reasoning_content", "reasoning"),
    "none": (),
}
"""Fields for reasoning, by setting. OpenAI's chat has none, and servers use different ones."""

FINISH_REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
}
LEGACY_FINISH_REASONS = {**FINISH_REASONS, FinishReason.TOOL_CALLS: "function_call"}
"""For a client that declared the older `functions`."""

_ROLE = {
    with_text: b'{"role":"assistant","content":%b,"refusal":null}' % content
    for with_text, content in [(True, b'""'), (False, b"null")]
}
_DELTA, _CONTENT = b',"choices":[{"index":0,"delta":', b'{"content":"'
_OPEN = b',"logprobs":null,"finish_reason":null'
_ENDS = {
    include_usage: (_OPEN + end, b'"}' + _OPEN + end, end)
    for include_usage, end in [(True, b'}],"usage":null}\n\n'), (False, b"}]}\n\n")]
}
"""The bytes after a delta, after a piece of content and after the finish reason, by whether usage is included."""


class ChunkEncoder:
    """Encodes one stream. The fields that all chunks share are encoded once."""

    __slots__ = (
        "_citations",
        "_include_usage",
        "_last_end",
        "_legacy",
        "_open_end",
        "_reasoning",
        "_reasoning_chunk",
        "_text_end",
        "_text_start",
        "chunks",
    )

    def __init__(
        self, envelope: Envelope, include_usage: bool, reasoning_field: str, legacy_functions: bool = False
    ) -> None:
        """`legacy_functions`: the client declared `functions`, so a call goes out as `function_call`."""
        self.chunks = 0
        """Number of chunks encoded so far."""
        self._include_usage = include_usage
        self._reasoning = REASONING_FIELDS[reasoning_field]
        self._legacy = legacy_functions
        answer_id, created, model = envelope
        shared = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._text_start = b"data: %b%b%b" % (json_text.encode(shared)[:-1], _DELTA, _CONTENT)
        """The bytes before a piece of content; they begin with the bytes before any other delta."""
        self._open_end, self._text_end, self._last_end = _ENDS[include_usage]
        self._citations: tuple[UrlCitation, ...] = ()
        """They are sent in one chunk, before the finish reason: clients cannot merge two lists."""
        self._reasoning_chunk = -1
        """The number of the last chunk with reasoning; unlike a flag, no other chunk has to reset it."""

    def encode(self, part: Part) -> bytes:
        """The chunks of one part; empty if this stream does not show it."""
        if type(part) is TextBatch:
            texts, start, end = part.encoded, self._text_start, self._text_end
            self.chunks += len(texts)
            if len(texts) == 1:
                return start + texts[0] + end
            return (end + start).join([start + texts[0], *texts[1:-1], texts[-1] + end])  # avoids copying the result
        if type(part) is TextPart:
            self.chunks += 1
            return self._text_start + json_text.encode(part.text)[1:-1] + self._text_end
        encoded = _ENCODERS[type(part)](self, part)
        if encoded:
            self.chunks += 1
        return encoded

    def end(self) -> bytes:
        """The last event of a stream, which is no chunk."""
        return sse.DONE

    def fail(self, error: ProxyError) -> bytes:
        """The end of a stream that failed: it has no finish chunk."""
        return error_ending(error)

    def ping(self) -> bytes:
        """A keep-alive: a chunk with an empty delta, which is not counted.

        During reasoning its delta has empty reasoning fields, because some clients close their block of reasoning at
        the first chunk without them.
        """
        reasons = self.chunks == self._reasoning_chunk
        return self._with_delta(dict.fromkeys(self._reasoning, "") if reasons else {})

    def _delta(self) -> bytes:
        """The bytes before any delta."""
        return self._text_start[: -len(_CONTENT)]

    def _with_delta(self, delta: dict[str, Any]) -> bytes:
        return self._delta() + json_text.encode(delta) + self._open_end

    def _role(self, part: AnswerStarted) -> bytes:
        return self._delta() + _ROLE[part.with_text] + self._open_end

    def _reasoning_delta(self, part: ReasoningPart) -> bytes:
        if not self._reasoning:
            return b""
        self._reasoning_chunk = self.chunks + 1
        return self._with_delta(dict.fromkeys(self._reasoning, part.text))

    def _opened_call(self, part: ToolCallOpened) -> bytes:
        function = {"name": part.name, "arguments": ""}
        if self._legacy:
            return self._with_delta({"function_call": function}) if part.position == 0 else b""
        call = {"index": part.position, "id": part.id, "type": "function", "function": function}
        return self._with_delta({"tool_calls": [call]})

    def _arguments(self, part: ToolCallArguments) -> bytes:
        function = {"arguments": part.arguments}
        if self._legacy:
            return self._with_delta({"function_call": function}) if part.position == 0 else b""
        return self._with_delta({"tool_calls": [{"index": part.position, "function": function}]})

    def _hold_citations(self, part: Annotations) -> bytes:
        self._citations += part.citations
        return b""

    def _finish(self, part: AnswerFinished) -> bytes:
        if not self._citations:
            return self._finish_chunk(part)
        self.chunks += 1
        cited = self._with_delta({"annotations": list(map(encode_citation, self._citations))})
        return cited + self._finish_chunk(part)

    def _finish_chunk(self, part: AnswerFinished) -> bytes:
        reason = finish_reason(part.reason, legacy_functions=self._legacy)
        return b'%b{},"logprobs":null,"finish_reason":"%b"%b' % (self._delta(), reason.encode(), self._last_end)

    def _usage(self, part: UsageTotals) -> bytes:
        if not self._include_usage:
            return b""
        start = self._text_start[: -len(_DELTA + _CONTENT)]
        return start + b',"choices":[],"usage":' + json_text.encode(encode_usage(part)) + b"}\n\n"


def finish_reason(reason: FinishReason, *, legacy_functions: bool) -> str:
    """OpenAI's word for the reason."""
    return (LEGACY_FINISH_REASONS if legacy_functions else FINISH_REASONS)[reason]


_ENCODERS: dict[type[Any], Callable[[ChunkEncoder, Any], bytes]] = {
    AnswerStarted: ChunkEncoder._role,
    ReasoningPart: ChunkEncoder._reasoning_delta,
    ToolCallOpened: ChunkEncoder._opened_call,
    ToolCallArguments: ChunkEncoder._arguments,
    AgentToolCalled: lambda self, part: b"",
    AgentToolReturned: lambda self, part: b"",
    Annotations: ChunkEncoder._hold_citations,
    AnswerFinished: ChunkEncoder._finish,
    UsageTotals: ChunkEncoder._usage,
}
