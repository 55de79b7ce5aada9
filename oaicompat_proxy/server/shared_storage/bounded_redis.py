"""A Redis client with a time limit per command; after a timeout it fails fast for a while (circuit breaker)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from redis.asyncio import Redis

FAIL_FAST_SECONDS = 5.0
"""Seconds of failing fast after a timeout. A successful probe ends it earlier."""

LATE = 0.1
"""Seconds by which a time limit is extended if this process was blocked: the reply may have arrived meanwhile."""

PROBES = ContextVar("oaicompat_proxy.probes", default=False)
"""Set in a background task whose commands are sent even while others fail fast."""


class BoundedRedis(Redis):
    """Raises TimeoutError when a command takes too long, connecting and retrying included."""

    command_timeout: float = 1.0
    """Seconds for each command."""
    _fail_fast_until = 0.0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.in_time():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Applies the time limit to commands on a connection of the pool. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._fail_fast_until and not PROBES.get():
            raise TimeoutError("Redis did not answer in time a moment ago; failing fast")
        try:
            async with asyncio.timeout(None) as bound:
                late = min(LATE, self.command_timeout / 2)
                timer = loop.call_later(self.command_timeout - late, lambda: bound.reschedule(loop.time() + late))
                try:
                    yield
                finally:
                    timer.cancel()
        except TimeoutError as error:
            self._fail_fast_until = loop.time() + FAIL_FAST_SECONDS
            raise TimeoutError(f"no answer within {self.command_timeout:g} seconds") from error
        else:
            self._fail_fast_until = 0.0
