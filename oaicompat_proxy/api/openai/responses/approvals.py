"""A tool that waits for a human, as an approval request, and the client's response to it.

The id of the request holds the token of the call that asks a chat client the same (`confirm_tool_call`), so the
response is checked in the same way.

Source: OpenAI API description, `MCPApprovalRequest`, `MCPApprovalResponse`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ....core.confirmation_call import TOKEN_PREFIX

ID_PREFIX = "mcpr_"


def approval_token(request_id: str) -> str | None:
    """The id of the call that asks; None if it is no id of a request of ours."""
    token = request_id.removeprefix(ID_PREFIX)
    return TOKEN_PREFIX + token if token and token != request_id else None


def approval_reply(response: Mapping[str, Any]) -> str:
    """The result of the call that asks, as a chat client sends it."""
    reply: dict[str, Any] = {"confirmed": response["approve"]}
    if response.get("reason"):
        reply["reason"] = response["reason"]
    return json.dumps(reply, ensure_ascii=False)
