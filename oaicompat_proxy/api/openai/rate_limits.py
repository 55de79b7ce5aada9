"""How OpenAI tells a client what is left of its limit.

Source: the `x-ratelimit-…` headers of OpenAI's API, with durations such as `20ms`, `1s` and `6m0s`.
"""

from __future__ import annotations

import math


def rate_headers(*, limit: int, remaining: int, reset: float) -> dict[str, str]:
    """`reset`: seconds until there is more again."""
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": duration(reset),
    }


def duration(seconds: float) -> str:
    """In whole milliseconds, rounded up."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
