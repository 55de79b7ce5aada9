"""Encodes the proxy's errors in Anthropic's form.

Source: `api/anthropic/PROTOCOL.md`, "Errors"; types of the `anthropic` package 2.14, `ErrorType`.
"""

from __future__ import annotations

from typing import Any

from ...core import json_text
from ...core.errors import (
    AgentOverloaded,
    AgentQuotaExceeded,
    AgentRateLimited,
    BodyTooLarge,
    BudgetExhausted,
    DiagnosticsBusy,
    EntryBusy,
    Forbidden,
    HostNotAllowed,
    IdempotencyFull,
    IdempotencyKeyReused,
    IdempotentAnswerGone,
    InvalidRequest,
    IssuerUnavailable,
    MissingKey,
    NotFound,
    OriginNotAllowed,
    Overloaded,
    ProxyError,
    RateLimited,
    RunCancelled,
    RunElsewhere,
    ServerStopping,
    SessionBusy,
    StoreUnavailable,
    TooManyConnections,
    TooManyRuns,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamTimeout,
)

OVERLOADED = 529
"""Anthropic's status of an overloaded server, in place of HTTP's 503."""

TYPES: tuple[tuple[str, tuple[type[ProxyError], ...]], ...] = (
    (
        "overloaded_error",
        (
            *(AgentOverloaded, IdempotencyFull, IssuerUnavailable, Overloaded, RunElsewhere, ServerStopping),
            *(StoreUnavailable, TooManyConnections, UpstreamOverloaded),
        ),
    ),
    (
        "rate_limit_error",
        (
            *(AgentQuotaExceeded, AgentRateLimited, BudgetExhausted, DiagnosticsBusy, RateLimited, TooManyRuns),
            UpstreamRateLimited,
        ),
    ),
    ("timeout_error", (UpstreamTimeout,)),
    ("authentication_error", (MissingKey,)),
    ("permission_error", (Forbidden, HostNotAllowed, OriginNotAllowed)),
    ("not_found_error", (NotFound,)),
    ("request_too_large", (BodyTooLarge,)),
    ("conflict_error", (EntryBusy, IdempotencyKeyReused, IdempotentAnswerGone, RunCancelled, SessionBusy)),
    ("invalid_request_error", (InvalidRequest,)),
    ("api_error", (ProxyError,)),
)
"""The service's `type` of each class of errors; the first that fits counts."""


def type_of(error: ProxyError) -> str:
    return next(word for word, kinds in TYPES if isinstance(error, kinds))


def status_of(error: ProxyError) -> int:
    return OVERLOADED if type_of(error) == "overloaded_error" else error.status


def error_object(error: ProxyError) -> dict[str, Any]:
    return {"type": type_of(error), "message": error.message}


def error_body(error: ProxyError, request_id: str) -> bytes:
    """`{"type": "error", "error": {type, message}, "request_id"}`; without the last if `request_id` is empty."""
    request = {"request_id": request_id} if request_id else {}
    return json_text.encode({"type": "error", "error": error_object(error), **request})
