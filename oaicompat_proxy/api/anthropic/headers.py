"""Headers of answers, as Anthropic's service sends them.

Source: `api/anthropic/PROTOCOL.md`, "Headers".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .times import rfc3339

VERSION = "anthropic-version"
"""Every client of the API sends this header in every request."""


def answer_headers(request_id: str) -> Mapping[str, str]:
    """Headers of every answer, errors too."""
    return {"request-id": request_id}


def rate_headers(*, limit: int, remaining: int, reset_at: float, unit: str) -> Mapping[str, str]:
    """Headers about a limit of requests or tokens. `reset_at`: Unix time at which the whole limit is available."""
    return {
        f"anthropic-ratelimit-{unit}-limit": str(limit),
        f"anthropic-ratelimit-{unit}-remaining": str(remaining),
        f"anthropic-ratelimit-{unit}-reset": rfc3339(math.ceil(reset_at)),
    }
