"""The methods behind `POST /invoke`: none at release 0.9.4, the built-in ones at commit 924f879."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .agents import AGENTS, DEFAULT_AGENT
from .house import House
from .sessions import Session

Params = Mapping[str, Any]


class MethodError(Exception):
    def __init__(self, message: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "code": code} if code else {"error": message}


def invoke(house: House, method: Any, params: Params) -> Any:
    """The bare result; None is an empty body."""
    if not isinstance(method, str) or not method:
        raise MethodError("method is required")
    if house.settings.release == "0.9.4":
        raise MethodError(f"Unknown method: {method}")
    if method not in METHODS:
        if house.settings.form == "standalone":
            raise MethodError(f"Unknown method: {method}")
        raise MethodError(f"Unknown method: {method}", "NOT_FOUND_RESOURCE", 404)
    return METHODS[method](house, params)


def _apps(house: House, params: Params) -> Any:
    return {
        "apps": [
            {
                "id": agent.id,
                "name": agent.name,
                "description": agent.description,
                "isDefault": agent.id == DEFAULT_AGENT,
            }
            for agent in AGENTS
        ]
    }


def _sessions(house: House, params: Params) -> Any:
    return {"sessions": [_described(session) for session in house.sessions]}


def _status(house: House, params: Params) -> Any:
    answer: dict[str, Any] = {"gateway": {"apps": [agent.id for agent in AGENTS], "runs": len(house.runs)}}
    if "sessionId" in params:
        session = _find(house, params)
        answer["session"] = {**_described(session), "isActive": session.run is not None}
    return answer


def _history(house: House, params: Params) -> Any:
    return {"messages": [], "hasMore": False}


def _close(house: House, params: Params) -> Any:
    house.close(_find(house, params).key)


def _abort(house: House, params: Params) -> Any:
    """Looks the session up, and that is all it does there too."""
    _find(house, params)


def _tool_confirm(house: House, params: Params) -> Any:
    if not house.confirm(params.get("sessionId"), str(params.get("callId")), bool(params.get("confirmed"))):
        raise MethodError("No pending confirmation for this call", "METHOD_ERROR")
    return {"ok": True}


METHODS: dict[str, Callable[[House, Params], Any]] = {
    "apps": _apps,
    "sessions": _sessions,
    "status": _status,
    "history": _history,
    "close": _close,
    "reset": _close,
    "abort": _abort,
    "tool-confirm": _tool_confirm,
}


def _find(house: House, params: Params) -> Session:
    session_id = params.get("sessionId")
    session = house.sessions.find(session_id)
    if session is None:
        raise MethodError(f"Session not found: {session_id}", "NOT_FOUND_RESOURCE", 404)
    return session


def _described(session: Session) -> dict[str, Any]:
    return {
        "id": session.key,
        "appId": session.agent.id,
        "createdAt": session.created,
        "lastActivityAt": session.last_activity,
        "messageCount": len(session.timeline),
    }
