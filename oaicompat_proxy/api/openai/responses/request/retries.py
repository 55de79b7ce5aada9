"""Recognises retries of one turn's request, for clients that name the turn.

Codex repeats a turn's request after most failures. It sends no `Idempotency-Key`, but `client_metadata.turn_id` stays
the same. After a broken stream it appends the complete items to the input. Further requests of a turn end with outputs
of the client's tools: these are no retries.

Source: measured with Codex CLI 0.171.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .....core import json_text
from .....core.errors import InvalidRequest
from .... import copilot_retries
from ....json_body import parse_json
from ....retry_rules import RetryKey
from ...schema.response_items import type_of

_TURN_ID = b'"turn_id"'
_OWN_ITEMS = frozenset({"reasoning", "mcp_call", "mcp_list_tools", "mcp_approval_request"})
"""Types of items that only an answer has. Calls of the client's tools are not among them: outputs follow them."""


def read_retry_key(body: bytes, headers: Mapping[str, str], max_values: int) -> RetryKey | None:
    """The body without the items of an incomplete answer, in a form that is equal for equal JSON; without a turn id
    the key of Copilot's request, else None.
    """
    if _TURN_ID not in body:  # costs less than parsing
        return copilot_retries.read_retry_key(body, headers, max_values)
    try:
        members = parse_json(body, max_values=max_values)
    except InvalidRequest:
        return None
    metadata = members.pop("client_metadata", None)
    turn_id = metadata.get("turn_id") if type(metadata) is dict else None
    if type(turn_id) is not str or not turn_id:
        return None
    members["input"] = _without_half_answer(members.get("input"))
    return RetryKey(json_text.encode_sorted([turn_id, members]))


def _without_half_answer(items: Any) -> Any:
    """The input without the items of an answer at its end."""
    if type(items) is not list:
        return items
    count = len(items)
    while count and _is_of_answer(items[count - 1]):
        count -= 1
    return items[:count]


def _is_of_answer(item: Any) -> bool:
    kind = type_of(item)
    return kind in _OWN_ITEMS or (kind == "message" and item.get("role") == "assistant")
