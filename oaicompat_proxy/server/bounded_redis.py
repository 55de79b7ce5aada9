"""A Redis client that no request waits for long; a Redis that says nothing is left alone for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from redis.asyncio import Redis

PAUSE = 5.0
"""Seconds for which a Redis that said nothing is not asked again. Who probes it ends that earlier."""

PROBES = ContextVar("oaicompat_proxy.probes", default=False)
"""Set in a task that asks all the same, and for which no request waits."""


class BoundedRedis(Redis):
    """Raises TimeoutError when Redis does not answer in time, connecting and repeating included."""

    patience: float = 1.0
    """Seconds for each command."""
    _silent_until = 0.0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.in_time():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """For what asks Redis over a connection of the pool. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until and not PROBES.get():
            raise TimeoutError("Redis has said nothing a moment ago, and is not asked for a while")
        try:
            async with asyncio.timeout(self.patience):
                yield
        except TimeoutError:
            self._silent_until = loop.time() + PAUSE
            raise
        else:
            self._silent_until = 0.0
