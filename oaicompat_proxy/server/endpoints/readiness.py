"""A question that many ask at once is put once, in bounded time, and its answer holds for a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

LIFE = 1.0
"""Seconds for which an answer holds."""

LONGEST = 5.0
"""Seconds for an answer: whoever supervises the process seldom waits longer."""


class Readiness:
    """Of one gateway: whether it can serve."""

    def __init__(self, check: Callable[[], Awaitable[str]]) -> None:
        """`check`: what there is to say, or an error."""
        self._check = check
        # moving
        self._asking: asyncio.Task[str] | None = None
        self._asked_at = 0.0

    async def ask(self) -> str:
        """Raises what `check` raises, and TimeoutError after LONGEST."""
        loop = asyncio.get_running_loop()
        task = self._asking
        if task is None or (task.done() and loop.time() >= self._asked_at + LIFE):
            task = self._asking = asyncio.create_task(self._ask(), name="check the gateway")
        return await asyncio.shield(task)

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(LONGEST):
                return await self._check()
        finally:
            self._asked_at = asyncio.get_running_loop().time()


READINESS = web.AppKey("oaicompat_proxy.readiness", Readiness)
