"""Finds the session and the user that Claude Code names in a header, or as JSON in `metadata.user_id`.

Its helpers (titles, web search) send the same name at the same time. They declare no client tools; each of their
requests gets a new session. A sub-agent has a header of its own, and a session for its conversation.

Source: measured with Claude Code 2.1.332; `api/anthropic/PROTOCOL.md`, "Clients".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ....core.request import AgentRequest

SESSION = "X-Claude-Code-Session-Id"
AGENT = "x-claude-code-agent-id"


def find_session(headers: Mapping[str, str], request: AgentRequest) -> str:
    """The name of the session; empty if the client names none, or for a helper's request."""
    name = name_of(headers, request.parameters)
    return "/".join(name) if request.tool_names else ""


def name_of(headers: Mapping[str, str], parameters: Mapping[str, Any]) -> list[str]:
    """The session, and the sub-agent that sends the request, if any; empty if the client names no session."""
    session = headers.get(SESSION) or _session_of_user(parameters.get("metadata"))
    if not session:
        return []
    agent = headers.get(AGENT)
    return [session, agent] if agent else [session]


def user_of(members: Mapping[str, Any]) -> str:
    """The person in a body's `metadata.user_id`; from Claude Code's JSON the account, else the device."""
    user = _user_id(members.get("metadata"))
    known = _members_of(user)
    names = [name for key in ("account_uuid", "device_id") if type(name := known.get(key)) is str and name]
    return next(iter(names), user)


def _session_of_user(metadata: Any) -> str:
    session = _members_of(_user_id(metadata)).get("session_id")
    return session if type(session) is str else ""


def _user_id(metadata: Any) -> str:
    user = metadata.get("user_id") if type(metadata) is dict else None
    return user if type(user) is str else ""


def _members_of(user: str) -> dict[str, Any]:
    """The members of a user id that is a JSON object; else empty."""
    try:
        members = orjson.loads(user) if user.startswith("{") else {}
    except orjson.JSONDecodeError:
        return {}
    return members if type(members) is dict else {}
