"""The client of the Messages API for the commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.confirmation_call import CONFIRM_TOOL
from .client import Answer, AnswerError, Item, OnPiece, ToolCall, error_text, parse_event

MAX_TOKENS = 32_000
"""The API requires a limit; an agent has its own."""

FINISH_REASONS = {"end_turn": "stop", "tool_use": "tool_calls"}
"""Other stop reasons are shown as they are."""


class MessagesApi:
    """`POST …/messages`."""

    path = "messages"

    def request(self, model: str, items: Sequence[Item]) -> dict[str, Any]:
        return {"model": model, "max_tokens": MAX_TOKENS, "messages": [*items], "stream": True}

    def result(self, call: ToolCall, text: str) -> Item:
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": text}]}

    def approval(self, call: ToolCall, *, approve: bool) -> Item:
        return self.result(call, json.dumps({"confirmed": approve}))

    def read(self, data: bytes, answer: Answer, on_piece: OnPiece) -> bool:
        event = parse_event(data)
        read = _EVENTS.get(event.get("type", ""))
        return read is not None and read(event, answer, on_piece)


def _read_start(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    block = event["content_block"]
    if block["type"] == "tool_use":
        answer.calls.append(ToolCall(block["id"], block["name"], "", block["name"] == CONFIRM_TOOL))
    elif block["type"] == "mcp_tool_use":
        arguments = json.dumps(block["input"], ensure_ascii=False)
        on_piece("tool", f"{block['server_name']}: {block['name']} {arguments}")
    elif block["type"] == "mcp_tool_result":
        on_piece("tool", f"→ {' '.join(part.get('text', '') for part in block['content'])}")
    return False


def _read_delta(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    delta = event["delta"]
    if text := delta.get("text"):
        answer.text += text
        on_piece("text", text)
    if thinking := delta.get("thinking"):
        on_piece("reasoning", thinking)
    if "partial_json" in delta and answer.calls:
        answer.calls[-1].arguments += delta["partial_json"]
    return False


def _read_end(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    reason, usage = event["delta"]["stop_reason"], event["usage"]
    counts = (usage.get(name) or 0 for name in ("input_tokens", "cache_read_input_tokens", "output_tokens"))
    answer.finish_reason = FINISH_REASONS.get(reason, reason)
    answer.tokens = sum(counts) or None
    return False


def _read_stop(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    text = [{"type": "text", "text": answer.text}] if answer.text else []
    answer.items.append({"role": "assistant", "content": [*text, *map(_tool_use, answer.calls)]})
    return True


def _tool_use(call: ToolCall) -> Item:
    arguments = json.loads(call.arguments or "{}")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _read_failure(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    raise AnswerError(error_text(event.get("error")))


_EVENTS: Mapping[str, Callable[[Mapping[str, Any], Answer, OnPiece], bool]] = {
    "content_block_start": _read_start,
    "content_block_delta": _read_delta,
    "message_delta": _read_end,
    "message_stop": _read_stop,
    "error": _read_failure,
}

MESSAGES = MessagesApi()
