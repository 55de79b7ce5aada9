"""Headers of responses in OpenAI's form, without those that only errors have.

Source: the headers that OpenAI's API sends; durations are written as `20ms`, `1s` and `6m0s`.
"""

from __future__ import annotations

from collections.abc import Mapping

from multidict import istr

from ...core.durations import format_duration

API_VERSION = "2020-10-01"
"""The one version that OpenAI's API has ever had."""

REQUEST_ID, PROCESSING_MS, VERSION = map(istr, ("x-request-id", "openai-processing-ms", "openai-version"))
"""Names as `istr`, aiohttp's case-insensitive strings: every answer has them, so they are converted once."""


def answer_headers(request_id: str, milliseconds: int) -> Mapping[str, str]:
    """Headers of every answer, errors too. `milliseconds`: since the request's headers were read."""
    return {REQUEST_ID: request_id, PROCESSING_MS: str(milliseconds), VERSION: API_VERSION}


def rate_headers(*, limit: int, remaining: int, reset: float, unit: str) -> Mapping[str, str]:
    """Headers about a limit of requests or tokens. `reset`: seconds until the whole limit is available."""
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(remaining),
        f"x-ratelimit-reset-{unit}": format_duration(reset),
    }
