"""The client of the Responses API for the commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.confirmation_call import CONFIRM_TOOL
from .client import Answer, AnswerError, Item, OnPiece, ToolCall, error_text, parse_event

AGENT = "https://agent.invalid"
"""The `mcp` tool requires a URL; the proxy ignores it."""

APPROVAL = "mcp_approval_request"


class ResponsesApi:
    """`POST …/responses`. The conversation is sent whole with each request, so nothing is stored."""

    path = "responses"

    def request(self, model: str, items: Sequence[Item]) -> dict[str, Any]:
        """The `mcp` tool in the body makes confirmations approval requests."""
        agent = {"type": "mcp", "server_label": model, "server_url": AGENT, "require_approval": "always"}
        return {"model": model, "input": [*items], "stream": True, "store": False, "tools": [agent]}

    def result(self, call: ToolCall, text: str) -> Item:
        return {"type": "function_call_output", "call_id": call.id, "output": text}

    def approval(self, call: ToolCall, *, approve: bool) -> Item:
        if call.name == CONFIRM_TOOL:
            return self.result(call, json.dumps({"confirmed": approve}))
        return {"type": "mcp_approval_response", "approval_request_id": call.id, "approve": approve}

    def read(self, data: bytes, answer: Answer, on_piece: OnPiece) -> bool:
        event = parse_event(data)
        read = _EVENTS.get(event.get("type", ""))
        return read is not None and read(event, answer, on_piece)


def _read_text(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    if delta := event["delta"]:
        answer.text += delta
        on_piece("text", delta)
    return False


def _read_reasoning(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    if delta := event["delta"]:
        on_piece("reasoning", delta)
    return False


def _read_item(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    item = event["item"]
    if item["type"] in ("function_call", APPROVAL):
        asks = item["type"] == APPROVAL or item["name"] == CONFIRM_TOOL
        answer.calls.append(ToolCall(item.get("call_id") or item["id"], item["name"], item["arguments"], asks))
    if item["type"] == "mcp_call":
        made = _error_of(item["error"]) or item["output"] or ""
        on_piece("tool", f"{item['server_label']}: {item['name']} {item['arguments']} → {made}")
    return False


def _error_of(error: Any) -> str:
    """The text of a tool's error."""
    if isinstance(error, dict) and "content" in error:
        return " ".join(part.get("text", "") for part in error["content"])
    return str(error or "")


def _read_end(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    response = event["response"]
    answer.finish_reason = (response.get("incomplete_details") or {}).get("reason") or "stop"
    answer.tokens = (response.get("usage") or {}).get("total_tokens") or None
    answer.items += response["output"]
    return True


def _read_failure(event: Mapping[str, Any], answer: Answer, on_piece: OnPiece) -> bool:
    raise AnswerError(error_text(event.get("error") or event.get("response", event).get("error") or event))


_EVENTS: Mapping[str, Callable[[Mapping[str, Any], Answer, OnPiece], bool]] = {
    "response.output_text.delta": _read_text,
    "response.refusal.delta": _read_text,
    "response.reasoning_summary_text.delta": _read_reasoning,
    "response.reasoning_text.delta": _read_reasoning,
    "response.output_item.done": _read_item,
    "response.completed": _read_end,
    "response.incomplete": _read_end,
    "response.failed": _read_failure,
    "error": _read_failure,
}
"""The handlers of events; other events add nothing."""

RESPONSES = ResponsesApi()
