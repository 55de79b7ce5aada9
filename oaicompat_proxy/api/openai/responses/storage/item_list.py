"""Lists of items, page by page; each input item in a list is complete and has an id.

Source: OpenAI API description, `ResponseItemList`, `ConversationItemList`, and the parameters of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .....core import ascii_json
from .....core.errors import NotFound
from ...invalid_requests import clip, invalid_value
from ...schema.response_items import type_of

MOST = 100
"""Items of one page."""

DEFAULT = 20

_DIGITS = 10
"""More digits than a limit has."""

_STATUS_TYPES = frozenset({"message", "function_call", "function_call_output", "custom_tool_call"})
"""Types of the items that have a status."""

_ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "mcp_call": "mcp",
    "mcp_approval_response": "mcpa",
}


def complete_item(item: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """The item with all members that a list has. `suffix`: the end of its new id, if it has no id."""
    kind = type_of(item) or "message"
    complete = {**item, "type": kind, "id": item.get("id") or f"{_ID_PREFIXES.get(kind, 'item')}_{suffix}"}
    if kind in _STATUS_TYPES:
        complete["status"] = item.get("status") or "completed"
    if kind == "message":
        complete["content"] = _complete_content(item)
    return complete


def encode_page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> bytes:
    """The requested page. `items`: the oldest first. `query`: `limit`, `order`, `after`. Raises InvalidRequest."""
    limit = _limit_of(query)
    ordered = list(items) if _order_of(query) == "asc" else list(reversed(items))
    first = _place_behind(ordered, query.get("after"))
    return encode_whole(ordered[first : first + limit], has_more=first + limit < len(ordered))


def encode_whole(items: Sequence[Mapping[str, Any]], *, has_more: bool = False) -> bytes:
    """All these items as a list object. In an empty list both ids are "", because the official types need strings."""
    return ascii_json.encode(
        {
            "object": "list",
            "data": items,
            "first_id": items[0]["id"] if items else "",
            "last_id": items[-1]["id"] if items else "",
            "has_more": has_more,
        }
    )


def _complete_content(item: Mapping[str, Any]) -> Any:
    content = item.get("content")
    if not isinstance(content, str):
        return content or []
    if item.get("role") == "assistant":
        return [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
    return [{"type": "input_text", "text": content}]


def _limit_of(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT))
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS and 1 <= int(text) <= MOST):
        raise invalid_value("limit", f"expected a number from 1 to {MOST}, but got '{clip(text)}'.")
    return int(text)


def _order_of(query: Mapping[str, str]) -> str:
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid_value("order", f"expected 'asc' or 'desc', but got '{clip(order)}'.")
    return order


def _place_behind(items: Sequence[Mapping[str, Any]], item_id: str | None) -> int:
    if item_id is None:
        return 0
    for place, item in enumerate(items):
        if item["id"] == item_id:
            return place + 1
    raise NotFound(f"Item with id '{clip(item_id)}' not found.", param="after")
