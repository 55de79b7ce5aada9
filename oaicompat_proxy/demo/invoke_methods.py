"""The methods behind `POST /invoke`: none at Agentick 0.9.4, the built-in ones at its commit 924f879 and since 0.10."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .agents import AGENTS, DEFAULT_AGENT
from .sessions import Session
from .state import House

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
    if house.settings.release == "0.9.4" and not house.settings.is_newer:
        raise MethodError(f"Unknown method: {method}")
    try:
        if method not in METHODS:
            raise MethodError(f"Unknown method: {method}", "NOT_FOUND_RESOURCE", 404)
        return METHODS[method](house, params)
    except MethodError as error:
        if house.settings.form == "standalone":
            raise MethodError(str(error)) from None
        raise


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
    session = house.sessions.find(params.get("sessionId"))
    if session is not None:
        answer["session"] = {**_described(session), "isActive": session.run is not None}
    return answer


def _history(house: House, params: Params) -> Any:
    return {"messages": [], "hasMore": False}


def _close(house: House, params: Params) -> Any:
    house.close(_find(house, params).key)


def _abort(house: House, params: Params) -> Any:
    """On the older wire it looks the session up, and that is all."""
    session = _find(house, params)
    if house.settings.is_newer:
        house.abort(session.key)


def _tool_confirm(house: House, params: Params) -> Any:
    """Says `ok` whether or not the call waits for it."""
    for name in ("sessionId", "callId"):
        if not params.get(name):
            raise MethodError(f"{name} is required", "METHOD_ERROR")
    house.confirm(params["sessionId"], str(params["callId"]), bool(params.get("confirmed")))
    return {"ok": True}


def _schema(house: House, params: Params) -> Any:
    methods = {name: {"description": "", "builtin": True} for name in METHODS}
    return {"protocolVersion": "1.0", "methods": methods, "events": [], "errors": []}


def _config(house: House, params: Params) -> Any:
    return {"config": {}}


def _tool_catalog(house: House, params: Params) -> Any:
    if not params.get("sessionId"):
        raise MethodError("sessionId is required", "METHOD_ERROR")
    session = house.sessions.find(params["sessionId"])
    tools = (session.agent if session else AGENTS[0]).tools
    return {"tools": [{**tool.offered(), "type": "client" if tool.client else "server"} for tool in tools]}


METHODS: dict[str, Callable[[House, Params], Any]] = {
    "apps": _apps,
    "sessions": _sessions,
    "status": _status,
    "history": _history,
    "close": _close,
    "reset": _close,
    "abort": _abort,
    "schema": _schema,
    "config": _config,
    "tool-catalog": _tool_catalog,
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
