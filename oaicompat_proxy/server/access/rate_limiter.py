"""Rate limits per key: requests per minute, counted in Redis if there is one, else in this process.

A sliding window counter: the previous minute counts in proportion to its part in the window, so a caller cannot use
twice the limit around the turn of a minute. A key costs two numbers, however high its limit is.
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
from ...core.errors import StoreUnavailable
from ..shared_storage.redis_client import REDIS_RETRY_AFTER, mapped_errors

if TYPE_CHECKING:
    from ..shared_storage.bounded_redis import BoundedRedis

log = logging.getLogger(__name__)

PREFIX = "oaicompat:rate"
MINUTE = 60.0
"""Seconds; also the reset time where the library says 0, at the start of a minute."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The caller's rate limit after this request."""

    admitted: bool
    limit: int
    remaining: int
    reset: float
    """Seconds until the limit is available again."""


class RateLimiter:
    """Counts the requests of each key. Without Redis each process counts its own: a limit that is too high for a while
    does less harm than refusing all requests. So that it is not twice as high in one process, a process counts what
    Redis admits, too.
    """

    def __init__(self, redis: BoundedRedis | None) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._redis = redis
        self._shared = _shared_limiter(redis) if redis is not None else None
        # state
        self._redis_retry_at = 0.0

    async def count(self, caller: Caller) -> Rate:
        """Counts a request of a caller with a limit."""
        now = asyncio.get_running_loop().time()
        if self._redis is not None and self._shared is not None and now >= self._redis_retry_at:
            try:
                with mapped_errors():
                    async with self._redis.in_time():
                        rate = await _count(self._shared, caller)
                if rate.admitted:
                    await self._own.hit(RateLimitItemPerMinute(rate.limit), caller.name)
                return rate
            except StoreUnavailable as error:
                self._redis_retry_at = now + REDIS_RETRY_AFTER
                log.warning("rate limits: each process counts its own requests, as Redis fails: %s", error.cause)
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
