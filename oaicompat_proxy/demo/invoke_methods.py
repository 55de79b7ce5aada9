"""Built-in methods of `POST /invoke`, which Agentick has in its commit 924f879 and since 0.10, but not in 0.9.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .agents import AGENTS, DEFAULT_AGENT
from .sessions import Session
from .state import GatewayState

Params = Mapping[str, Any]


class MethodError(Exception):
    def __init__(self, message: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "code": code} if code else {"error": message}


def invoke(state: GatewayState, method: Any, params: Params) -> Any:
    """The result of a method. None becomes an empty body."""
    if not isinstance(method, str) or not method:
        raise MethodError("method is required")
    if state.settings.release == "0.9.4" and not state.settings.is_newer:
        raise MethodError(f"Unknown method: {method}")
    try:
        if method not in METHODS:
            raise MethodError(f"Unknown method: {method}", "NOT_FOUND_RESOURCE", 404)
        return METHODS[method](state, params)
    except MethodError as error:
        if state.settings.form == "standalone":
            raise MethodError(str(error)) from None
        raise


def _apps(state: GatewayState, params: Params) -> Any:
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


def _sessions(state: GatewayState, params: Params) -> Any:
    return {"sessions": [_describe(session) for session in state.sessions]}


def _status(state: GatewayState, params: Params) -> Any:
    answer: dict[str, Any] = {"gateway": {"apps": [agent.id for agent in AGENTS], "runs": len(state.runs)}}
    session = state.sessions.find(params.get("sessionId"))
    if session is not None:
        answer["session"] = {**_describe(session), "isActive": session.run is not None}
    return answer


def _history(state: GatewayState, params: Params) -> Any:
    return {"messages": [], "hasMore": False}


def _close(state: GatewayState, params: Params) -> Any:
    state.close(_find(state, params).key)


def _abort(state: GatewayState, params: Params) -> Any:
    """Stops the session's run. The older transports only look the session up."""
    session = _find(state, params)
    if state.settings.is_newer:
        state.abort(session.key)


def _tool_confirm(state: GatewayState, params: Params) -> Any:
    """Confirms or denies a tool call. The result is `ok` even if the call does not wait for it."""
    for name in ("sessionId", "callId"):
        if not params.get(name):
            raise MethodError(f"{name} is required", "METHOD_ERROR")
    state.confirm(params["sessionId"], str(params["callId"]), bool(params.get("confirmed")))
    return {"ok": True}


def _schema(state: GatewayState, params: Params) -> Any:
    methods = {name: {"description": "", "builtin": True} for name in METHODS}
    return {"protocolVersion": "1.0", "methods": methods, "events": [], "errors": []}


def _config(state: GatewayState, params: Params) -> Any:
    return {"config": {}}


def _tool_catalog(state: GatewayState, params: Params) -> Any:
    if not params.get("sessionId"):
        raise MethodError("sessionId is required", "METHOD_ERROR")
    session = state.sessions.find(params["sessionId"])
    tools = (session.agent if session else AGENTS[0]).tools
    return {"tools": [{**tool.offered(), "type": "client" if tool.client else "server"} for tool in tools]}


METHODS: dict[str, Callable[[GatewayState, Params], Any]] = {
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


def _find(state: GatewayState, params: Params) -> Session:
    session_id = params.get("sessionId")
    session = state.sessions.find(session_id)
    if session is None:
        raise MethodError(f"Session not found: {session_id}", "NOT_FOUND_RESOURCE", 404)
    return session


def _describe(session: Session) -> dict[str, Any]:
    return {
        "id": session.key,
        "appId": session.agent.id,
        "createdAt": session.created,
        "lastActivityAt": session.last_activity,
        "messageCount": len(session.timeline),
    }
