"""Turns of the event loop: work for a large request is done in several, so that others are served between them."""

from __future__ import annotations

import asyncio

LARGE = 64 * 1024
"""Bytes of a request whose work is worth another turn."""


async def give_way() -> None:
    """Between two steps of the work for a request with a body of more than LARGE bytes.

    The caller compares: nearly all requests are small, and six coroutines that do nothing cost one of them 1 %.
    """
    await asyncio.sleep(0)
