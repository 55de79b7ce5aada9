"""Encodes the failure of a response.

Source: OpenAI API description, `ResponseError`, whose codes are a fixed list; the nested `error` event as recorded.
"""

from __future__ import annotations

from typing import Literal

from .....core import json_text
from .....core.errors import AgentRateLimited, InvalidRequest, ProxyError, RateLimited, RunCancelled
from ...errors import type_of


def encode_error(error: ProxyError) -> bytes:
    """The `error` member of an `error` event."""
    return json_text.encode(
        {"type": type_of(error), "code": error.code, "message": error.message, "param": error.param}
    )


def encode_failure(error: ProxyError) -> bytes:
    """The `error` member of a response object."""
    return json_text.encode({"code": failure_code(error), "message": error.message})


def failed_status(error: ProxyError) -> Literal["cancelled", "failed"]:
    """The status of a response that ends with this error."""
    return "cancelled" if isinstance(error, RunCancelled) else "failed"


def failure_code(error: ProxyError) -> str:
    """One of the codes of OpenAI's service.

    `invalid_prompt` also stands for failures after which the request must not be repeated: it is the only code on which
    Codex shows the message and does not run the agent six times.
    """
    if isinstance(error, (RateLimited, AgentRateLimited)):
        return "rate_limit_exceeded"
    if isinstance(error, InvalidRequest) or error.should_retry is False:
        return "invalid_prompt"
    return "server_error"
