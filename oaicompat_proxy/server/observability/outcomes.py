"""The outcome of a request for a run, one word of a fixed list, for metrics, log and traces. Pure."""

from __future__ import annotations

from ...core.errors import (
    AgentContentFiltered,
    AgentError,
    AgentTimeout,
    AnswerCut,
    ContextTooLong,
    InternalError,
    InvalidRequest,
    ProxyError,
    StoreUnavailable,
    UpstreamError,
    UpstreamTimeout,
)

SUCCESS = "success"
CLIENT_GONE = "client_gone"
INTERNAL_ERROR = "internal_error"
SHUTDOWN = "shutdown"

FAILURES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((UpstreamTimeout,), "timeout"),
    ((AnswerCut,), SHUTDOWN),
    ((AgentError, AgentContentFiltered, ContextTooLong), "agent_error"),
    ((UpstreamError,), "upstream_error"),
    ((InternalError,), INTERNAL_ERROR),
    ((ProxyError,), "refused"),
)
"""The outcome of each class of errors. The first row that fits counts."""

OUTCOMES = {
    SUCCESS: "the answer was completed",
    "refused": "the proxy refused the request, and no run began",
    "agent_error": "the agent reported a failure, or its answer was not the JSON that was asked for",
    "upstream_error": "the gateway broke its protocol or its connection",
    "timeout": "the gateway or the agent was silent for too long",
    CLIENT_GONE: "the client left before the end of the answer",
    SHUTDOWN: "the proxy stopped before the end of the answer",
    INTERNAL_ERROR: "a bug in the proxy",
}

FAILED_UPSTREAM = frozenset({"agent_error", "upstream_error", "timeout"})
"""Outcomes that the gateway or the agent caused."""


def outcome_of(error: Exception) -> str:
    return next((outcome for kinds, outcome in FAILURES if isinstance(error, kinds)), INTERNAL_ERROR)


def error_type(error: Exception) -> str:
    """One word of a fixed list, never text of a client or an agent."""
    shown = _shown(error)
    return type(shown).code or ("invalid_request_error" if isinstance(shown, InvalidRequest) else "server_error")


def reason_of(error: Exception) -> str:
    """Why the gateway or a store failed, in this proxy's, the system's or the store's words; "" for an error that may
    quote an agent or a client.
    """
    if isinstance(error, StoreUnavailable):
        return error.cause
    if not isinstance(error, UpstreamError) or isinstance(error, AgentError | AgentTimeout):
        return ""
    cause = error.__cause__
    return f"{error.message} ({cause.strerror or cause})" if isinstance(cause, OSError) else error.message


def status_of(error: Exception) -> int:
    """The HTTP status of a response that has not begun."""
    return _shown(error).status


def _shown(error: Exception) -> ProxyError:
    return error if isinstance(error, ProxyError) else InternalError()
