"""Readiness of a gateway: concurrent probes share one check of bounded time, and its result is cached for a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LIFE = 1.0
"""Seconds for which a result is cached."""

LONGEST = 5.0
"""Seconds that a check may take: a supervisor seldom waits longer."""


class Readiness:
    """Whether one gateway can serve."""

    def __init__(self, check: Callable[[], Awaitable[str]]) -> None:
        """`check`: returns a note, or raises."""
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
