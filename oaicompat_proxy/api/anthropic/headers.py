"""Headers of answers, as Anthropic's service sends them.

Source: `api/anthropic/PROTOCOL.md`, "Headers".
"""

from __future__ import annotations

from collections.abc import Mapping

VERSION = "anthropic-version"
"""Every client of the API sends it, whatever it asks for."""


def answer_headers(request_id: str) -> Mapping[str, str]:
    """Headers of every answer, errors too."""
    return {"request-id": request_id}


def rate_headers(*, limit: int, remaining: int) -> Mapping[str, str]:
    """Headers about a limit of requests per minute."""
    return {
        "anthropic-ratelimit-requests-limit": str(limit),
        "anthropic-ratelimit-requests-remaining": str(remaining),
    }
