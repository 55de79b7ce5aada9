"""Stores which session has answered which conversation, so that the conversation can continue there.

A conversation's fingerprint belongs to one session for good. If a second session answers an equal conversation, the
fingerprint becomes ambiguous and finds neither: the two clients cannot be told apart, and no client may get the
session of another. So a claimed session reserves its fingerprint, and only that session can be stored under it again.
A fingerprint that includes a client's own session name belongs to that client alone: there a newer session replaces
the older one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..shared_storage.redis_client import find_keys, mapped_errors, text_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

AMBIGUOUS = ""
"""Instead of the session that reserves a fingerprint: two sessions have answered equal conversations."""


class SessionStore(Protocol):
    """A session that leaves the store is returned by exactly one call, and its caller closes the session.

    Every method may raise StoreUnavailable.
    """

    is_shared: ClassVar[bool]
    """Whether all processes use the same store."""

    async def put(self, fingerprint: str, session: str, *, named: bool = False) -> list[str]:
        """Stores the session under the fingerprint. Returns the sessions that have to be closed.

        `named`: the fingerprint includes a client's own session name.
        """
        ...

    async def claim(self, fingerprint: str) -> str | None:
        """Atomically removes and returns the session; None if there is none, or if the fingerprint is ambiguous."""
        ...

    async def expire(self) -> list[str]:
        """Removes and returns the sessions that are older than the store's `ttl`."""
        ...

    async def count(self) -> int:
        """Number of sessions in the store."""
        ...

    async def clear(self) -> list[str]:
        """At shutdown: removes and returns the sessions that no other process can find."""
        ...

    async def find_owned(self, mark: str) -> list[str]:
        """The sessions under fingerprints with this owner's mark."""
        ...

    async def remove_owned(self, mark: str) -> list[str]:
        """Removes these fingerprints, and returns their sessions."""
        ...


class _TtlCache:
    """At most `size` items, each for `ttl` seconds; the oldest item is evicted."""

    def __init__(self, *, ttl: float, size: int) -> None:
        self._ttl = ttl
        self._size = size
        self._items: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def put(self, key: str, value: str) -> list[str]:
        """Returns the evicted value."""
        self._items[key] = value, time.monotonic() + self._ttl
        self._items.move_to_end(key)
        return [self._items.popitem(last=False)[1][0]] if len(self._items) > self._size else []

    def get(self, key: str) -> str | None:
        value, expires = self._items.get(key, (None, 0.0))
        return value if expires > time.monotonic() else None

    def __len__(self) -> int:
        return len(self._items)

    def remove(self, key: str) -> None:
        self._items.pop(key, None)

    def owned(self, mark: str) -> dict[str, str]:
        """Values by the keys that begin with the mark."""
        return {key: value for key, (value, _) in self._items.items() if key.startswith(mark)}

    def expire(self, now: float) -> list[str]:
        expired = []
        while self._items and next(iter(self._items.values()))[1] <= now:
            expired.append(self._items.popitem(last=False)[1][0])
        return expired


class MemoryStore:
    """The store of one process."""

    is_shared: ClassVar[bool] = False

    def __init__(self, *, ttl: float, size: int) -> None:
        """`ttl`: seconds. `size`: sessions; the oldest is evicted."""
        self._stored = _TtlCache(ttl=ttl, size=size)
        self._reserved = _TtlCache(ttl=ttl, size=size)

    async def put(self, fingerprint: str, session: str, *, named: bool = False) -> list[str]:
        expired = self._stored.expire(time.monotonic())
        other, owner = self._stored.get(fingerprint), self._reserved.get(fingerprint)
        if named or {other, owner} <= {None, session}:
            self._reserved.remove(fingerprint)
            replaced = [other] if other not in (None, session) else []
            return [*expired, *replaced, *self._stored.put(fingerprint, session)]
        self._stored.remove(fingerprint)
        self._reserved.put(fingerprint, AMBIGUOUS)
        return [*expired, session, *([other] if other else [])]

    async def claim(self, fingerprint: str) -> str | None:
        session = self._stored.get(fingerprint)
        if session is not None:
            self._stored.remove(fingerprint)
            self._reserved.put(fingerprint, session)
        return session

    async def expire(self) -> list[str]:
        self._reserved.expire(time.monotonic())
        return self._stored.expire(time.monotonic())

    async def count(self) -> int:
        return len(self._stored)

    async def clear(self) -> list[str]:
        return self._stored.expire(float("inf"))

    async def find_owned(self, mark: str) -> list[str]:
        return list(self._stored.owned(mark).values())

    async def remove_owned(self, mark: str) -> list[str]:
        owned = self._stored.owned(mark)
        for items in (self._stored, self._reserved):
            for key in items.owned(mark):
                items.remove(key)
        return list(owned.values())


_PREFIX = "oaicompat:session:"
_EXPIRIES = "oaicompat:sessions"

# A value is `=` and the stored session, or `-` and the session that reserves the fingerprint; `-` alone is ambiguous.

_PUT = """
local held = redis.call('GET', KEYS[1])
if ARGV[4] == '1' or not held or held == '=' .. ARGV[1] or held == '-' .. ARGV[1] then
  redis.call('SET', KEYS[1], '=' .. ARGV[1], 'PX', ARGV[2])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  if not held or string.sub(held, 1, 1) == '-' or held == '=' .. ARGV[1] then return {} end
  if redis.call('ZREM', KEYS[2], string.sub(held, 2)) == 0 then return {} end
  return {string.sub(held, 2)}
end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
if string.sub(held, 1, 1) == '-' then return {ARGV[1]} end
local other = string.sub(held, 2)
if redis.call('ZREM', KEYS[2], other) == 0 then return {ARGV[1]} end
return {ARGV[1], other}
"""

_CLAIM = """
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 1) == '-' then return false end
local session = string.sub(held, 2)
redis.call('SET', KEYS[1], '-' .. session, 'PX', ARGV[1])
if redis.call('ZREM', KEYS[2], session) == 0 then return false end
return session
"""

_EXPIRE = """
local count = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[2])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1000)
if #due < count then due = redis.call('ZRANGE', KEYS[1], 0, math.min(count, 1000) - 1) end
for _, session in ipairs(due) do redis.call('ZREM', KEYS[1], session) end
return due
"""


class RedisStore:
    """The store of all processes that share a Redis. A sorted set holds the time at which each session expires."""

    is_shared: ClassVar[bool] = True

    def __init__(self, redis: Redis, space: str = "", *, ttl: float, size: int) -> None:
        """`space`: a prefix that separates this store from others in the same Redis."""
        self._redis = redis
        self._prefix = f"{_PREFIX}{space}"
        self._expiries = f"{_EXPIRIES}{space}"
        self._ttl = ttl
        self._size = size
        self._put = redis.register_script(_PUT)
        self._claim = redis.register_script(_CLAIM)
        self._expire = redis.register_script(_EXPIRE)

    @property
    def _milliseconds(self) -> int:
        return int(self._ttl * 1000)

    async def put(self, fingerprint: str, session: str, *, named: bool = False) -> list[str]:
        keys = [self._prefix + fingerprint, self._expiries]
        due = time.time() + self._ttl
        with mapped_errors():
            unwanted = _decode(await self._put(keys, [session, self._milliseconds, due, int(named)]))
        return unwanted or await self.expire()

    async def claim(self, fingerprint: str) -> str | None:
        with mapped_errors():
            session = await self._claim([self._prefix + fingerprint, self._expiries], [self._milliseconds])
        return text_of(session) if session else None

    async def expire(self) -> list[str]:
        with mapped_errors():
            return _decode(await self._expire([self._expiries], [time.time(), self._size]))

    async def count(self) -> int:
        with mapped_errors():
            return int(await self._redis.zcard(self._expiries))

    async def clear(self) -> list[str]:
        return []

    async def find_owned(self, mark: str) -> list[str]:
        return [session async for _, session in self._owned(mark) if session]

    async def remove_owned(self, mark: str) -> list[str]:
        removed = []
        async for key, session in self._owned(mark):
            with mapped_errors():
                await self._redis.delete(key)
                if session and await self._redis.zrem(self._expiries, session):
                    removed.append(session)
        return removed

    async def _owned(self, mark: str) -> AsyncIterator[tuple[str, str]]:
        """Keys and their sessions, without fingerprints that are only reserved."""
        for key in await find_keys(self._redis, f"{self._prefix}{mark}*"):
            with mapped_errors():
                held: Any = await self._redis.get(key)
            if held is not None:
                yield key, text_of(held[1:]) if held.startswith(b"=") else ""


def _decode(sessions: list[Any]) -> list[str]:
    return [text_of(session) for session in sessions]
