"""Words for a request of a command that did not reach the proxy."""

from __future__ import annotations

import os

import aiohttp


def describe(error: Exception) -> str:
    """One line for a person: which address did not answer, and why."""
    if not isinstance(error, aiohttp.ClientConnectorError) or isinstance(error, aiohttp.ClientSSLError):
        return str(error) or "no answer in time"
    cause = error.os_error
    # asyncio puts the address in place of the system's words
    reason = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or str(cause)
    return f"no connection to {error.host}:{error.port} ({reason}); is the proxy running there?"
