"""Session locks in Redis, for all processes that share it. A session never has two runs at once, also if Redis fails.

A lock is a key with an expiry time; its value is the token of its holder, which renews it every RENEWAL_INTERVAL.
Three failures are handled:

- Redis loses its data (a restart, FLUSHALL). The holders set their keys again at their next renewal, and until all of
  them can have done so, new locks are denied. A loss is recognised by a missing key that all processes keep alive.
- Redis is unreachable until a lock may expire. `on_lost` is called before that, and stops the run.
- Another process has the lock nevertheless. `on_lost` is called at the next renewal.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreUnavailable
from ..shared_storage.redis_client import mapped_errors
from .locks import OnLost, ReleaseLock, session_busy

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

LOCK_TTL = 45.0
"""Seconds until the lock of a crashed process expires; longer than Redis pauses while it writes to a slow disk."""

SAFETY_MARGIN = 3.0
"""Seconds before the expiry of a lock at which its run is stopped, if the lock could not be renewed."""

RENEWAL_INTERVAL = 1.0
"""Seconds between renewals of all locks of a process."""

GRACE = 3.0
"""Seconds after a loss of data in which only earlier holders get locks: two renewals and the time of a command."""

HEARTBEAT_TTL = 5.0
"""Seconds until the heartbeat key expires, whose absence means a loss of data. Each renewal of a process renews it."""

POLL_INTERVAL = 0.1
"""Seconds between two attempts to get a lock."""

BATCH_SIZE = 500
"""Locks that one command renews."""

_PREFIX = "oaicompat:lock:"
HEARTBEAT = "oaicompat:alive"
LOSS = "oaicompat:lost"
"""The claims of runs use both keys, too. Every process renews the first one, from its start to its end."""

# KEYS: heartbeat, loss, locks. ARGV: whether this process has used Redis before, HEARTBEAT_TTL, GRACE, LOCK_TTL, …

_DETECT_LOSS = """
if redis.call('EXISTS', KEYS[1]) == 0 and ARGV[1] == '1' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
"""

_ACQUIRE = f"""{_DETECT_LOSS}
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
return redis.call('SET', KEYS[3], ARGV[5], 'NX', 'PX', ARGV[4]) and 1 or 0
"""

_RENEW = f"""{_DETECT_LOSS}
local taken = {{}}
for number = 3, #KEYS do
  local token = ARGV[number + 2]
  if (redis.call('GET', KEYS[number]) or token) == token then
    redis.call('SET', KEYS[number], token, 'PX', ARGV[4])
  else
    taken[#taken + 1] = token
  end
end
return taken
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


@dataclass(slots=True)
class _HeldLock:
    key: str
    on_lost: OnLost
    renewed: float
    """Event loop time."""
    is_lost: bool = False

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            log.warning("session %s: the Redis lock may be lost, so the run is stopped", self.key)
            self.on_lost()


class RedisLocks:
    """The locks of all processes that share a Redis."""

    def __init__(self, redis: Redis) -> None:
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)
        # state
        self._held: dict[str, _HeldLock] = {}
        """The held locks, by token."""
        self._unreleased: dict[str, tuple[str, float]] = {}
        """Key and expiry time of each lock that is still to be released in Redis, by token."""
        self._has_connected = False
        """This process has used Redis before, so a missing heartbeat key means a loss of data."""
        self._renewing: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        return len(self._held)

    def open(self) -> None:
        """Starts the renewals."""
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_forever(), name="renew session locks")

    async def close(self) -> None:
        """Stops the renewals, and releases locks that a cancelled task has left."""
        while self._renewing is not None and not self._renewing.done():
            self._renewing.cancel()
            await asyncio.wait([self._renewing], timeout=POLL_INTERVAL)  # redis-py may lose a cancellation
        await asyncio.gather(*map(self._release_in_redis, list(self._unreleased)))

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> ReleaseLock:
        """Acquires a lock; also raises StoreUnavailable."""
        self.open()
        token = secrets.token_hex(16)
        try:
            await self._wait_for(key, token, wait, is_new=is_new)
        except BaseException:
            self._release_later(key, token)  # Redis may have granted the lock although its reply was not read
            raise
        self._held[token] = _HeldLock(key, on_lost, _now())

        async def release() -> None:
            del self._held[token]
            self._release_later(key, token)
            await self._release_in_redis(token)

        return release

    async def _wait_for(self, key: str, token: str, wait: float, *, is_new: bool) -> None:
        deadline = _now() + wait
        while not await self._try(key, token, is_new=is_new):
            left = deadline - _now()
            if left <= 0:
                raise session_busy()
            await asyncio.sleep(min(POLL_INTERVAL, left))

    async def _try(self, key: str, token: str, *, is_new: bool) -> bool:
        keys, arguments = [HEARTBEAT, LOSS, _PREFIX + key], [*self._common(), token, int(is_new)]
        try:
            with mapped_errors():
                return bool(await self._acquire(keys, arguments))
        finally:
            self._has_connected = True

    def _common(self) -> list[Any]:
        return [int(self._has_connected), *(int(seconds * 1000) for seconds in (HEARTBEAT_TTL, GRACE, LOCK_TTL))]

    def _release_later(self, key: str, token: str) -> None:
        self._unreleased[token] = key, _now() + LOCK_TTL

    async def _release_in_redis(self, token: str) -> None:
        """Releases the lock in Redis; if Redis is unreachable, the next renewal tries again."""
        if token not in self._unreleased:
            return  # another call has released the lock
        key, expires = self._unreleased[token]
        try:
            with mapped_errors():
                await self._release([_PREFIX + key], [token])
        except StoreUnavailable:
            if _now() < expires:
                return
        self._unreleased.pop(token, None)

    async def _renew_forever(self) -> None:
        from ..shared_storage.bounded_redis import PROBES

        PROBES.set(True)
        while True:
            await self._renew_and_release()
            await asyncio.sleep(RENEWAL_INTERVAL)

    async def _renew_and_release(self) -> None:
        for batch in self._in_batches():
            await self._renew_batch(batch)
        for held in list(self._held.values()):
            if _now() - held.renewed > LOCK_TTL - SAFETY_MARGIN:
                held.lose()
        for token in list(self._unreleased):
            await self._release_in_redis(token)

    def _in_batches(self) -> Iterator[dict[str, _HeldLock]]:
        """The held locks; at least one batch, maybe empty, because a renewal also renews the heartbeat key."""
        tokens = list(self._held)
        for start in range(0, max(len(tokens), 1), BATCH_SIZE):
            yield {token: self._held[token] for token in tokens[start : start + BATCH_SIZE] if token in self._held}

    async def _renew_batch(self, batch: dict[str, _HeldLock]) -> None:
        began = _now()
        keys = [HEARTBEAT, LOSS, *(_PREFIX + held.key for held in batch.values())]
        try:
            with mapped_errors():
                taken = {each.decode() for each in await self._renew(keys, [*self._common(), *batch])}
        except StoreUnavailable:
            return
        finally:
            self._has_connected = True
        for token, held in batch.items():
            if token not in self._held:
                self._release_later(held.key, token)  # released during the renewal, which has set it again
            elif token in taken:
                held.lose()
            else:
                held.renewed = began


def _now() -> float:
    return asyncio.get_running_loop().time()
