"""Approval requests for tools that wait for a human, and the client's responses to them.

In chat the same question is a call of `confirm_tool_call`. The id of an approval request contains the id of this call,
so the response is checked in the same way.

Source: OpenAI API description, `MCPApprovalRequest`, `MCPApprovalResponse`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ....core.confirmation_call import TOKEN_PREFIX
from ....core.immutable import readonly
from ..schema.response_items import type_of

ID_PREFIX = "mcpr_"


def approval_token(request_id: str) -> str | None:
    """The id of the confirmation call; None if this proxy did not make the id."""
    token = request_id.removeprefix(ID_PREFIX)
    return TOKEN_PREFIX + token if token and token != request_id else None


def approval_reply(response: Mapping[str, Any]) -> str:
    """The result of the confirmation call, as a chat client sends it."""
    reply: dict[str, Any] = {"confirmed": response["approve"]}
    if response.get("reason"):
        reply["reason"] = response["reason"]
    return json.dumps(reply, ensure_ascii=False)


@readonly
class Approval:
    """The client's approval of one tool call of the agent. `arguments`: JSON text."""

    request_id: str
    tool: str
    arguments: str


def find_approval(items: str | Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """The members of a form for an approval; empty if the last item approves nothing. `items`: the checked `input`."""
    if isinstance(items, str):
        return {}
    last = items[-1]
    if type_of(last) != "mcp_approval_response" or not last["approve"]:
        return {}
    request_id = last["approval_request_id"]
    for item in items:
        if type_of(item) == "mcp_approval_request" and item["id"] == request_id:
            arguments = item.get("arguments") or "{}"
            return {"approval": request_id, "approved_tool": item["name"], "approved_arguments": arguments}
    return {}


def approval_of(form: Mapping[str, Any]) -> Approval | None:
    """The reverse of `find_approval`."""
    if "approval" not in form:
        return None
    return Approval(form["approval"], form["approved_tool"], form["approved_arguments"])
