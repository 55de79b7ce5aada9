"""The client of Chat Completions for the commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..core.confirmation_call import CONFIRM_TOOL
from .client import Answer, AnswerError, Item, OnPiece, ToolCall, error_text, parse_event


class ChatApi:
    """`POST …/chat/completions`."""

    path = "chat/completions"

    def request(self, model: str, items: Sequence[Item]) -> dict[str, Any]:
        return {"model": model, "messages": [*items], "stream": True, "stream_options": {"include_usage": True}}

    def result(self, call: ToolCall, text: str) -> Item:
        return {"role": "tool", "tool_call_id": call.id, "content": text}

    def approval(self, call: ToolCall, *, approve: bool) -> Item:
        return self.result(call, json.dumps({"confirmed": approve}))

    def read(self, data: bytes, answer: Answer, on_piece: OnPiece) -> bool:
        if data == b"[DONE]":
            answer.items.append(_message(answer))
            return True
        chunk = parse_event(data)
        if error := chunk.get("error"):
            raise AnswerError(error_text(error))
        if usage := chunk.get("usage"):
            answer.tokens = usage.get("total_tokens")
        for choice in chunk.get("choices") or ():
            _add_delta(choice.get("delta") or {}, answer, on_piece)
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        return False


def _add_delta(delta: dict[str, Any], answer: Answer, on_piece: OnPiece) -> None:
    if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
        on_piece("reasoning", reasoning)
    if text := delta.get("content"):
        answer.text += text
        on_piece("text", text)
    for call in delta.get("tool_calls") or ():
        _add_tool_call(call, answer)


def _add_tool_call(piece: dict[str, Any], answer: Answer) -> None:
    while len(answer.calls) <= piece.get("index", 0):
        answer.calls.append(ToolCall())
    call, function = answer.calls[piece.get("index", 0)], piece.get("function") or {}
    call.id = piece.get("id") or call.id
    call.name = function.get("name") or call.name
    call.arguments += function.get("arguments") or ""
    call.asks_approval = call.name == CONFIRM_TOOL


def _message(answer: Answer) -> Item:
    calls = {"tool_calls": [_tool_call(call) for call in answer.calls]} if answer.calls else {}
    return {"role": "assistant", "content": answer.text or None, **calls}


def _tool_call(call: ToolCall) -> Item:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


CHAT = ChatApi()
