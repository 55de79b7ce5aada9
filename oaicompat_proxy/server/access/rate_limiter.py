"""How many requests a key makes in a minute: counted in Redis where there is one, else in this process.

The minute slides: what was asked in the minute before counts for as much as is left of it, so nobody gets twice
the limit around the turn of a minute, and a key costs two numbers however high its limit is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from ...core.caller import Caller
from ...core.errors import SessionsUnavailable
from ..redis import mapped_errors

if TYPE_CHECKING:
    from ..bounded_redis import BoundedRedis

log = logging.getLogger(__name__)

PREFIX = "oaicompat:rate"
MINUTE = 60.0
"""Seconds; also what the library's 0 means, which it says of a minute that has just begun."""
REDIS_PAUSE = 5.0
"""Seconds for which a Redis that has failed is not asked again: each request would wait for it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Where a caller stands after this request."""

    admitted: bool
    limit: int
    remaining: int
    reset: float
    """Seconds until there is more again."""


class Rates:
    """Counts. Without its Redis each process counts by itself: a limit that is too generous for a while hurts less
    than a service that stands still because nobody can count."""

    def __init__(self, redis: BoundedRedis | None) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._redis = redis
        self._shared = _shared_limiter(redis) if redis is not None else None
        # moving
        self._ask_again = 0.0

    async def count(self, caller: Caller) -> Rate:
        """For a caller with a limit."""
        now = asyncio.get_running_loop().time()
        if self._redis is not None and self._shared is not None and now >= self._ask_again:
            try:
                with mapped_errors():
                    async with self._redis.in_time():
                        return await _count(self._shared, caller)
            except SessionsUnavailable:
                self._ask_again = now + REDIS_PAUSE
                log.warning("Redis cannot be reached, so each process counts the requests of its own")
        return await _count(self._own, caller)


def _shared_limiter(redis: BoundedRedis) -> SlidingWindowCounterRateLimiter:
    storage = RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=PREFIX,
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # documented, but not annotated
    )
    return SlidingWindowCounterRateLimiter(storage)


async def _count(limiter: SlidingWindowCounterRateLimiter, caller: Caller) -> Rate:
    item = RateLimitItemPerMinute(caller.requests_per_minute)
    admitted = await limiter.hit(item, caller.name)
    reset, remaining = await limiter.get_window_stats(item, caller.name)
    wait = reset - time.time()
    return Rate(admitted, caller.requests_per_minute, remaining, wait if wait > 0 else MINUTE)
