"""Session locks in Redis, for all processes that share it: never two runs at once in a session, whatever befalls Redis.

A lock is a key that expires, held by a token. Its holder renews it each BEAT. Three things can go wrong:

- Redis loses its data (a restart, FLUSHALL): the holders set their keys again at their next beat. Until all of them
  can have done so, nobody gets a lock. The sign of a loss is that a key which all processes keep alive is gone.
- Redis cannot be reached for so long that a lock may expire: its holder is told before that, and stops its run.
- Somebody else has the lock nevertheless: its holder is told at the next beat.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import SessionsUnavailable
from ..redis import mapped_errors
from .locks import OnLost, Release, busy

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

LEASE = 45.0
"""Seconds after which the lock of a process that died is free again; longer than a Redis that writes its data to a
slow disk stands still."""

FENCE = 3.0
"""Seconds before that at which a holder that could not renew its lock stops its run."""

BEAT = 1.0
"""Seconds between renewals, of all locks of a process in one command for each MANY."""

GRACE = 3.0
"""Seconds after a loss in which only those who held locks get them: two beats, and the time of a command."""

ALIVE = 5.0
"""Seconds for which the sign of a Redis that has its data lasts; each beat of any process renews it."""

POLL = 0.1
"""Seconds between two attempts to get a lock."""

MANY = 500
"""Locks that are renewed by one command."""

_PREFIX = "oaicompat:lock:"
_SIGN = "oaicompat:alive"
_LOSS = "oaicompat:lost"

# KEYS: the sign, the loss, locks; ARGV: whether this process has met Redis before, ALIVE, GRACE, LEASE, …

_LOOK_FOR_LOSS = """
if redis.call('EXISTS', KEYS[1]) == 0 and ARGV[1] == '1' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
"""

_ACQUIRE = f"""{_LOOK_FOR_LOSS}
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
return redis.call('SET', KEYS[3], ARGV[5], 'NX', 'PX', ARGV[4]) and 1 or 0
"""

_RENEW = f"""{_LOOK_FOR_LOSS}
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
class _Held:
    key: str
    on_lost: OnLost
    renewed: float
    """By the loop's time."""
    is_lost: bool = False

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            log.warning("the lock of session %s is not safe any more, so its run is stopped", self.key)
            self.on_lost()


class RedisLocks:
    """For all processes that share a Redis."""

    def __init__(self, redis: Redis) -> None:
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)
        # moving
        self._held: dict[str, _Held] = {}
        """By their tokens."""
        self._unreturned: dict[str, tuple[str, float]] = {}
        """Keys of locks that are not wanted any more, and until when; by their tokens."""
        self._has_met = False
        """This process has asked Redis before, so that a missing sign means a loss."""
        self._beating: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        return len(self._held)

    def open(self) -> None:
        """Begins to renew, and to look for a loss."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_for_ever(), name="renew session locks")

    async def close(self) -> None:
        while self._beating is not None and not self._beating.done():
            self._beating.cancel()
            await asyncio.wait([self._beating], timeout=POLL)  # redis-py may lose a cancellation while it connects

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> Release:
        """Raises SessionsUnavailable too."""
        self.open()
        token = secrets.token_hex(16)
        try:
            await self._wait_for(key, token, wait, is_new=is_new)
        except BaseException:
            self._return_later(key, token)  # Redis may have given it though nobody was there any more to hear it
            raise
        self._held[token] = _Held(key, on_lost, _now())

        async def release() -> None:
            del self._held[token]
            self._return_later(key, token)
            await self._return(token)

        return release

    async def _wait_for(self, key: str, token: str, wait: float, *, is_new: bool) -> None:
        deadline = _now() + wait
        while not await self._try(key, token, is_new=is_new):
            left = deadline - _now()
            if left <= 0:
                raise busy()
            await asyncio.sleep(min(POLL, left))

    async def _try(self, key: str, token: str, *, is_new: bool) -> bool:
        keys, arguments = [_SIGN, _LOSS, _PREFIX + key], [*self._common(), token, int(is_new)]
        try:
            with mapped_errors():
                return bool(await self._acquire(keys, arguments))
        finally:
            self._has_met = True

    def _common(self) -> list[Any]:
        return [int(self._has_met), *(int(seconds * 1000) for seconds in (ALIVE, GRACE, LEASE))]

    def _return_later(self, key: str, token: str) -> None:
        self._unreturned[token] = key, _now() + LEASE

    async def _return(self, token: str) -> None:
        """Or leaves it for the next beat, if Redis cannot be reached."""
        key, expires = self._unreturned[token]
        try:
            with mapped_errors():
                await self._release([_PREFIX + key], [token])
        except SessionsUnavailable:
            if _now() < expires:
                return
        self._unreturned.pop(token, None)

    async def _beat_for_ever(self) -> None:
        from ..bounded_redis import PROBES

        PROBES.set(True)
        while True:
            await self._beat()
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        for some in self._in_batches():
            await self._renew_all(some)
        for held in list(self._held.values()):
            if _now() - held.renewed > LEASE - FENCE:
                held.lose()
        for token in list(self._unreturned):
            await self._return(token)

    def _in_batches(self) -> Iterator[dict[str, _Held]]:
        """At least one, which may be empty: the sign is renewed with it."""
        tokens = list(self._held)
        for start in range(0, max(len(tokens), 1), MANY):
            yield {token: self._held[token] for token in tokens[start : start + MANY] if token in self._held}

    async def _renew_all(self, some: dict[str, _Held]) -> None:
        began = _now()
        keys = [_SIGN, _LOSS, *(_PREFIX + held.key for held in some.values())]
        try:
            with mapped_errors():
                taken = {each.decode() for each in await self._renew(keys, [*self._common(), *some])}
        except SessionsUnavailable:
            return
        finally:
            self._has_met = True
        for token, held in some.items():
            if token not in self._held:
                self._return_later(held.key, token)  # given back meanwhile, and taken anew by this command
            elif token in taken:
                held.lose()
            else:
                held.renewed = began


def _now() -> float:
    return asyncio.get_running_loop().time()
