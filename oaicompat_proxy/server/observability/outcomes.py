"""What becomes of a request for a run, in few words: for logs, metrics and traces. Pure."""

from __future__ import annotations

from ...core.errors import (
    AgentContentFiltered,
    AgentError,
    AnswerCut,
    ContextTooLong,
    InternalError,
    InvalidRequest,
    ProxyError,
    UpstreamError,
    UpstreamTimeout,
)

SUCCESS = "success"
CLIENT_GONE = "client_gone"
INTERNAL_ERROR = "internal_error"

FAILURES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((UpstreamTimeout,), "timeout"),
    ((AnswerCut,), "cut"),
    ((AgentError, AgentContentFiltered, ContextTooLong), "agent_error"),
    ((UpstreamError,), "upstream_error"),
    ((InternalError,), INTERNAL_ERROR),
    ((ProxyError,), "refused"),
)
"""The outcome of each error; the first row that fits counts."""

OUTCOMES = {
    SUCCESS: "the answer was completed",
    "refused": "the proxy refused the request, and no run began",
    "agent_error": "the agent reported a failure",
    "upstream_error": "the gateway broke its protocol or its connection",
    "timeout": "the gateway or the agent was silent for too long",
    CLIENT_GONE: "the client left before the end of the answer",
    "cut": "the proxy stopped before the end of the answer",
    INTERNAL_ERROR: "a bug in the proxy",
}

FAILED_UPSTREAM = frozenset({"agent_error", "upstream_error", "timeout"})
"""Outcomes that are the gateway's, or the agent's."""


def outcome_of(error: Exception) -> str:
    return next((outcome for kinds, outcome in FAILURES if isinstance(error, kinds)), INTERNAL_ERROR)


def error_type(error: Exception) -> str:
    """One of few words, never one that was made of what a client or an agent said."""
    shown = _shown(error)
    return type(shown).code or ("invalid_request_error" if isinstance(shown, InvalidRequest) else "server_error")


def status_of(error: Exception) -> int:
    """The HTTP status, where the answer has not begun."""
    return _shown(error).status


def _shown(error: Exception) -> ProxyError:
    return error if isinstance(error, ProxyError) else InternalError()
