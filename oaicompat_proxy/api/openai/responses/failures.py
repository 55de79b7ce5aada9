"""What a response that failed says of its failure.

Source: OpenAI API description, `ResponseError`, whose codes are a fixed list; the nested `error` event as recorded.
"""

from __future__ import annotations

from ....core import json_text
from ....core.errors import AgentRateLimited, InvalidRequest, ProxyError, RateLimited
from ..errors import type_of


def encode_error(error: ProxyError) -> bytes:
    """For the `error` event."""
    return json_text.encode(
        {"type": type_of(error), "code": error.code, "message": error.message, "param": error.param}
    )


def encode_failure(error: ProxyError) -> bytes:
    """For the `error` of a response."""
    return json_text.encode({"code": failure_code(error), "message": error.message})


def failure_code(error: ProxyError) -> str:
    """One of the codes that the service has.

    `invalid_prompt` also stands for a failure after which the same request must not be sent again: it is the one code
    at which Codex shows the message and does not run the agent six times.
    """
    if isinstance(error, (RateLimited, AgentRateLimited)):
        return "rate_limit_exceeded"
    if isinstance(error, InvalidRequest) or error.should_retry is False:
        return "invalid_prompt"
    return "server_error"
