"""Headers of an error response, the same in every API."""

from __future__ import annotations

import math

from ..core.errors import MissingKey, ProxyError, UnsupportedEncoding


def error_headers(error: ProxyError) -> dict[str, str]:
    """Headers by which the official clients decide whether and when to retry: `retry-after` in whole seconds, and
    `retry-after-ms` if the time is no whole number of seconds."""
    headers: dict[str, str] = {}
    if error.should_retry is not None:
        headers["x-should-retry"] = "true" if error.should_retry else "false"
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
        if error.retry_after % 1:
            headers["retry-after-ms"] = str(math.ceil(error.retry_after * 1000))
    if isinstance(error, UnsupportedEncoding):
        headers["Accept-Encoding"] = error.accepted
    if isinstance(error, MissingKey):
        headers["WWW-Authenticate"] = error.challenge
    return headers
