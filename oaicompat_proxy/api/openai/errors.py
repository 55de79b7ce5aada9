"""Encodes the proxy's errors in OpenAI's form.

Source: OpenAI API description, `ErrorResponse`; the frame inside a stream as the official clients raise it.
"""

from __future__ import annotations

from ...core import json_text, sse
from ...core.errors import (
    CONVERSATION,
    AgentQuotaExceeded,
    AgentRateLimited,
    BudgetExhausted,
    InvalidRequest,
    ProxyError,
    RateLimited,
    TooManyRuns,
    UpstreamRateLimited,
)

TYPES: tuple[tuple[type[ProxyError], str], ...] = (
    (RateLimited, "requests"),
    (TooManyRuns, "requests"),
    (AgentRateLimited, "requests"),
    (UpstreamRateLimited, "requests"),
    (AgentQuotaExceeded, "insufficient_quota"),
    (BudgetExhausted, "insufficient_quota"),
    (InvalidRequest, "invalid_request_error"),
    (ProxyError, "server_error"),
)
"""OpenAI's `type` of each class of errors; the first that fits counts."""


def type_of(error: ProxyError) -> str:
    """The error's `type`."""
    return next(word for kind, word in TYPES if isinstance(error, kind))


def error_body(error: ProxyError, conversation: str = CONVERSATION) -> bytes:
    """`{"error": {message, type, param, code}}`. `conversation`: the API's field with the conversation."""
    return json_text.encode(
        {
            "error": {
                "message": error.message,
                "type": type_of(error),
                "param": conversation if error.param == CONVERSATION else error.param,
                "code": error.code,
            }
        }
    )


def error_ending(error: ProxyError) -> bytes:
    """The end of a stream that failed: one error frame, then `[DONE]`, no finish chunk."""
    return sse.encode(error_body(error)) + sse.DONE
