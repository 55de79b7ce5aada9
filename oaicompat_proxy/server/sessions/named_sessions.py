"""Stores the session names under which clients send whole conversations, and the last conversation that each name's
primary session has answered.

A name's primary session is found without this store, since its key is derived from the name. A lost entry costs one
transmission of a whole conversation.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from ..shared_storage.redis_client import find_keys, mapped_errors, text_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

UNKNOWN = ""
"""Instead of a fingerprint: the session was used, and the conversation that it has answered is unknown."""


class SessionNames(Protocol):
    """Every method may raise StoreUnavailable."""

    async def set_sends_all(self, name: str) -> None:
        """Stores that clients send whole conversations under this name."""
        ...

    async def sends_all(self, name: str) -> bool: ...

    async def answered(self, session: str) -> str | None:
        """Fingerprint of the conversation that the session has answered; UNKNOWN; or None if it was never used."""
        ...

    async def set_answered(self, session: str, fingerprint: str) -> None: ...

    async def claim(self, session: str, fingerprint: str) -> bool:
        """Returns whether the session has answered exactly this conversation, and sets it to UNKNOWN if so."""
        ...

    async def forget(self, session: str) -> None:
        """Resets the session to never used."""
        ...

    async def find_owned(self, mark: str) -> list[str]:
        """The sessions whose owner has this mark."""
        ...

    async def remove_owned(self, mark: str) -> list[str]:
        """Removes and returns these sessions, and removes the owner's names."""
        ...


class MemoryNames:
    """The names of one process."""

    def __init__(self, *, size: int) -> None:
        """`size`: names, and sessions; the least recently used are evicted."""
        self._size = size
        self._sends_all: OrderedDict[str, None] = OrderedDict()
        self._answered: OrderedDict[str, str] = OrderedDict()

    async def set_sends_all(self, name: str) -> None:
        self._sends_all[name] = None
        self._sends_all.move_to_end(name)
        if len(self._sends_all) > self._size:
            self._sends_all.popitem(last=False)

    async def sends_all(self, name: str) -> bool:
        return name in self._sends_all

    async def answered(self, session: str) -> str | None:
        return self._answered.get(session)

    async def set_answered(self, session: str, fingerprint: str) -> None:
        self._answered[session] = fingerprint
        self._answered.move_to_end(session)
        if len(self._answered) > self._size:
            self._answered.popitem(last=False)

    async def claim(self, session: str, fingerprint: str) -> bool:
        matches = await self.answered(session) == fingerprint
        if matches:
            await self.set_answered(session, UNKNOWN)
        return matches

    async def forget(self, session: str) -> None:
        self._answered.pop(session, None)

    async def find_owned(self, mark: str) -> list[str]:
        return [each for each in self._answered if each.startswith(mark)]

    async def remove_owned(self, mark: str) -> list[str]:
        for name in [each for each in self._sends_all if each.startswith(mark)]:
            del self._sends_all[name]
        sessions = await self.find_owned(mark)
        for each in sessions:
            del self._answered[each]
        return sessions


ANSWERED_TTL = 7 * 24 * 3600
"""Seconds for which Redis keeps what a session has answered, after its last run. The session itself is never closed."""

_SENDS_ALL = "oaicompat:session-names"
_ANSWERED = "oaicompat:session-answers:"

_SET_SENDS_ALL = """
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
"""

_CLAIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'EX', ARGV[2])
return 1
"""


class RedisNames:
    """The names of all processes that share a Redis. A sorted set holds the names by the time of their last request."""

    def __init__(self, redis: Redis, space: str = "", *, size: int) -> None:
        """`space`: separates gateways in the same Redis. `size`: names; answers expire by ANSWERED_TTL."""
        self._redis = redis
        self._sends_all = f"{_SENDS_ALL}{space}"
        self._prefix = f"{_ANSWERED}{space}"
        self._size = size
        self._set_sends_all = redis.register_script(_SET_SENDS_ALL)
        self._claim = redis.register_script(_CLAIM)

    async def set_sends_all(self, name: str) -> None:
        with mapped_errors():
            await self._set_sends_all([self._sends_all], [time.time(), name, self._size])

    async def sends_all(self, name: str) -> bool:
        with mapped_errors():
            return await self._redis.zscore(self._sends_all, name) is not None

    async def answered(self, session: str) -> str | None:
        with mapped_errors():
            found: bytes | None = await self._redis.get(self._prefix + session)  # type: ignore[assignment]
        return None if found is None else text_of(found)

    async def set_answered(self, session: str, fingerprint: str) -> None:
        with mapped_errors():
            await self._redis.set(self._prefix + session, fingerprint, ex=ANSWERED_TTL)

    async def claim(self, session: str, fingerprint: str) -> bool:
        with mapped_errors():
            return bool(await self._claim([self._prefix + session], [fingerprint, ANSWERED_TTL]))

    async def forget(self, session: str) -> None:
        with mapped_errors():
            await self._redis.delete(self._prefix + session)

    async def find_owned(self, mark: str) -> list[str]:
        return [each.removeprefix(self._prefix) for each in await find_keys(self._redis, f"{self._prefix}{mark}*")]

    async def remove_owned(self, mark: str) -> list[str]:
        sessions = await self.find_owned(mark)
        with mapped_errors():
            async for name, _ in self._redis.zscan_iter(self._sends_all, match=f"{mark}*"):
                await self._redis.zrem(self._sends_all, name)
            for each in sessions:
                await self._redis.delete(self._prefix + each)
        return sessions
