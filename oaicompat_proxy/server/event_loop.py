"""Yields to the event loop between the steps of a large request's work, so that other requests are served."""

from __future__ import annotations

import asyncio

LARGE_REQUEST = 64 * 1024
"""Bytes of a request from which on its work yields."""


async def yield_control() -> None:
    """Between two steps of the work for a request with a body of more than LARGE_REQUEST bytes.

    The caller compares: nearly all requests are small, and six coroutines that do nothing cost one of them 1 %.
    """
    await asyncio.sleep(0)
