"""Redis, where workers and replicas share what they know of sessions.

It is asked on the way of every request, so it is never waited for long; its errors become ours here and nowhere
else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from ..config.settings import ConfigError
from ..core.errors import SessionsUnavailable

if TYPE_CHECKING:
    from .bounded_redis import BoundedRedis

PATIENCE = 0.4
"""Seconds for an answer, connecting included: Redis is next door, so more means that it is gone."""


def connect(url: str) -> BoundedRedis:
    """Nothing is sent yet. Raises ConfigError for an address that cannot be, or without the package."""
    try:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        from .bounded_redis import BoundedRedis
    except ImportError:
        raise ConfigError("--redis needs the package redis: pip install 'oaicompat-proxy[redis]'") from None
    once_more = Retry(NoBackoff(), 1)  # a kept connection may have died since it was last used
    try:
        made = BoundedRedis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=once_more)
    except ValueError as error:
        raise ConfigError(f"--redis must be an address such as redis://127.0.0.1/0: {error}") from None
    redis = cast("BoundedRedis", made)
    redis.patience = PATIENCE
    return redis


@contextlib.contextmanager
def mapped_errors() -> Iterator[None]:
    """Redis's exceptions, and those of the way to it, as ours."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise SessionsUnavailable(
            "What this proxy's workers share about sessions cannot be reached; try again, or without a session."
        ) from error
