"""The connection to Redis, through which workers and replicas share sessions, locks and rate limits.

Requests wait for Redis, so its timeouts are short. Only this module maps Redis errors to the proxy's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from ...config.settings import ConfigError
from ...core.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from .bounded_redis import BoundedRedis

COMMAND_TIMEOUT = 0.4
"""Seconds for a command, connecting included: Redis is on the local network, so a longer wait means that it is down."""

REDIS_RETRY_AFTER = 5.0
"""Seconds after a failure until counters, which can do without Redis, use it again: each request would wait for it."""

SOCKET_TIMEOUT = 5.0
"""Seconds of one read, write or connect. A command has less, but more if this process was blocked."""


def connect(url: str) -> BoundedRedis:
    """A client that connects on first use. Raises ConfigError for an invalid address, or without the package."""
    try:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        from .bounded_redis import BoundedRedis
    except ImportError:
        raise ConfigError("--redis needs the package redis: pip install 'oaicompat-proxy[redis]'") from None
    once_more = Retry(NoBackoff(), 1)  # Redis may have closed a pooled connection
    try:
        made = BoundedRedis.from_url(
            url, socket_timeout=SOCKET_TIMEOUT, socket_connect_timeout=SOCKET_TIMEOUT, retry=once_more
        )
    except ValueError as error:
        raise ConfigError(f"--redis must be an address such as redis://127.0.0.1/0: {error}") from None
    redis = cast("BoundedRedis", made)
    redis.command_timeout = COMMAND_TIMEOUT
    return redis


def waiting_client(redis: Redis, seconds: float) -> BoundedRedis:
    """A client with a connection of its own, for commands that wait up to this many seconds. Must be closed."""
    from redis.asyncio import ConnectionPool

    from .bounded_redis import BoundedRedis

    timeout = seconds + 2 * COMMAND_TIMEOUT
    pool = redis.connection_pool
    settings = {**pool.connection_kwargs, "socket_timeout": timeout}
    made = BoundedRedis.from_pool(ConnectionPool(connection_class=pool.connection_class, **settings))
    waiting = cast("BoundedRedis", made)
    waiting.command_timeout = timeout
    return waiting


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns exceptions of Redis and of the connection to it into StoreUnavailable."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(
            "The sessions that this proxy's workers share in Redis cannot be reached; try again, or without a session."
        ) from error


def text_of(value: bytes) -> str:
    """A text that was stored in Redis. Bytes of a foreign program become a text that matches nothing of ours."""
    return value.decode("utf-8", "backslashreplace")


SCAN_COUNT = 1000
"""Keys that Redis looks at in one step of a search."""


async def find_keys(redis: Redis, pattern: str) -> list[str]:
    """All keys that match a pattern. Redis scans all of its keys, in steps. Raises StoreUnavailable."""
    with mapped_errors():
        return [text_of(key) async for key in redis.scan_iter(match=pattern, count=SCAN_COUNT)]
