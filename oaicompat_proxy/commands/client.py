"""A minimal client for one streamed Chat Completions answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from yarl import URL

from ..core.errors import UpstreamFrameTooLong
from ..core.sse import FrameReader

MAX_FRAME = 64 * 1024 * 1024
MAX_ERROR = 64 * 1024
"""Bytes of an error's body that are read."""

OnDelta = Callable[[Literal["reasoning", "text"], str], None]
"""Receives each delta of the answer."""


class AnswerError(Exception):
    """The answer failed or broke off. The message is for people."""


@dataclass(slots=True)
class ToolCall:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def body(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(slots=True)
class Answer:
    """An answer, filled while it streams, so that a cancelled one keeps its text."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str = ""
    tokens: int | None = None
    request_id: str = ""

    def message(self) -> dict[str, Any]:
        """The message that the next request sends back."""
        calls = {"tool_calls": [call.body() for call in self.calls]} if self.calls else {}
        return {"role": "assistant", "content": self.text or None, **calls}


async def ask(
    client: aiohttp.ClientSession,
    base: URL,
    body: dict[str, Any],
    headers: dict[str, str],
    answer: Answer,
    on_delta: OnDelta,
) -> None:
    """Fills `answer`. Raises AnswerError. Cancelling closes the connection, which stops the agent."""
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    try:
        async with client.post(base / "chat" / "completions", json=body, headers=headers) as response:
            answer.request_id = response.headers.get("x-request-id", "")
            if response.status != 200:
                raise AnswerError(_status_text(response.status, await response.content.read(MAX_ERROR)))
            await _read(response.content, answer, on_delta)
    except (aiohttp.ClientError, OSError, TimeoutError, UpstreamFrameTooLong) as error:
        raise AnswerError(f"{base}: {error or 'no answer in time'}") from error


async def _read(content: aiohttp.StreamReader, answer: Answer, on_delta: OnDelta) -> None:
    frames = FrameReader(max_frame=MAX_FRAME)
    async for data in content.iter_any():
        for frame in frames.feed(data):
            if frame.data == b"[DONE]":
                return
            _add_chunk(_parse(frame.data), answer, on_delta)
    raise AnswerError("the answer broke off")


def _parse(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        raise AnswerError(f"this is not an OpenAI stream: {data[:100]!r}")
    return chunk


def _add_chunk(chunk: dict[str, Any], answer: Answer, on_delta: OnDelta) -> None:
    if error := chunk.get("error"):
        raise AnswerError(_error_text(error))
    if usage := chunk.get("usage"):
        answer.tokens = usage.get("total_tokens")
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            on_delta("reasoning", reasoning)
        if text := delta.get("content"):
            answer.text += text
            on_delta("text", text)
        for call in delta.get("tool_calls") or ():
            _add_tool_call(call, answer)
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason


def _add_tool_call(piece: dict[str, Any], answer: Answer) -> None:
    while len(answer.calls) <= piece.get("index", 0):
        answer.calls.append(ToolCall())
    call, function = answer.calls[piece.get("index", 0)], piece.get("function") or {}
    call.id = piece.get("id") or call.id
    call.name = function.get("name") or call.name
    call.arguments += function.get("arguments") or ""


def _status_text(status: int, body: bytes) -> str:
    try:
        return f"{status}: {_error_text(json.loads(body)['error'])}"
    except (ValueError, TypeError, KeyError):
        words = " ".join(body.decode("utf-8", "replace").split())
        return f"{status}: not the proxy's own answer: {words[:200] or 'nothing'}"


def _error_text(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    code = f" ({error['code']})" if error.get("code") else ""
    return f"{error.get('message')}{code}"
