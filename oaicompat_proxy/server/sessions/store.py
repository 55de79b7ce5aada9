"""Which session answered which conversation, so that a client that comes back continues in it.

A digest belongs to one session for good. One that a second session comes to as well belongs to neither: their
clients cannot be told apart, and no client may be given another one's session. So a session that was taken keeps
its digest from others, and may itself be put back under it. A digest with a client's own session name in it is that
client's alone: there a second session takes the place of the first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..redis import mapped_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

NOBODY = ""
"""Owns a digest that was claimed twice."""


class SessionStore(Protocol):
    """A session that is no longer kept is returned once, by whoever made it fall out, to be closed.

    Every method may raise SessionsUnavailable.
    """

    is_shared: ClassVar[bool]
    """Whether other processes keep theirs in it."""

    async def put(self, digest: str, session: str, *, named: bool = False) -> list[str]:
        """Keeps the session under the digest. Returns the sessions that are to be closed for it.

        `named`: the digest has a client's session name in it.
        """
        ...

    async def take(self, digest: str) -> str | None:
        """The session of this conversation, for one caller only; None if there is none, or no certain one."""
        ...

    async def expire(self) -> list[str]:
        """Forgets what is too old. Returns the sessions that are to be closed."""
        ...

    async def count(self) -> int:
        """Sessions that are kept."""
        ...

    async def leave(self) -> list[str]:
        """At the end of the process: returns the sessions that nobody can find any more."""
        ...


class _Shelf:
    """What is kept for a time: at most so much, the oldest gives way."""

    def __init__(self, *, ttl: float, size: int) -> None:
        self._ttl = ttl
        self._size = size
        self._items: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def put(self, key: str, value: str) -> list[str]:
        """Returns what fell out."""
        self._items[key] = value, time.monotonic() + self._ttl
        self._items.move_to_end(key)
        return [self._items.popitem(last=False)[1][0]] if len(self._items) > self._size else []

    def get(self, key: str) -> str | None:
        value, expires = self._items.get(key, (None, 0.0))
        return value if expires > time.monotonic() else None

    def __len__(self) -> int:
        return len(self._items)

    def drop(self, key: str) -> None:
        self._items.pop(key, None)

    def expire(self, now: float) -> list[str]:
        expired = []
        while self._items and next(iter(self._items.values()))[1] <= now:
            expired.append(self._items.popitem(last=False)[1][0])
        return expired


class MemoryStore:
    """For one process."""

    is_shared: ClassVar[bool] = False

    def __init__(self, *, ttl: float, size: int) -> None:
        """`ttl`: seconds. `size`: sessions; the oldest gives way."""
        self._kept = _Shelf(ttl=ttl, size=size)
        self._taken = _Shelf(ttl=ttl, size=size)

    async def put(self, digest: str, session: str, *, named: bool = False) -> list[str]:
        expired = self._kept.expire(time.monotonic())
        other, owner = self._kept.get(digest), self._taken.get(digest)
        if named or {other, owner} <= {None, session}:
            self._taken.drop(digest)
            replaced = [other] if other not in (None, session) else []
            return [*expired, *replaced, *self._kept.put(digest, session)]
        self._kept.drop(digest)
        self._taken.put(digest, NOBODY)
        return [*expired, session, *([other] if other else [])]

    async def take(self, digest: str) -> str | None:
        session = self._kept.get(digest)
        if session is not None:
            self._kept.drop(digest)
            self._taken.put(digest, session)
        return session

    async def expire(self) -> list[str]:
        self._taken.expire(time.monotonic())
        return self._kept.expire(time.monotonic())

    async def count(self) -> int:
        return len(self._kept)

    async def leave(self) -> list[str]:
        return self._kept.expire(float("inf"))


_PREFIX = "oaicompat:session:"
_EXPIRIES = "oaicompat:sessions"

# A value is `=` and the session that is kept, or `-` and the one that took the digest, nobody's if it is empty.

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

_TAKE = """
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
    """For all processes that share a Redis. Beside the sessions, a sorted set remembers when each is due."""

    is_shared: ClassVar[bool] = True

    def __init__(self, redis: Redis, space: str = "", *, ttl: float, size: int) -> None:
        """`space`: apart from other stores in the same Redis."""
        self._redis = redis
        self._prefix = f"{_PREFIX}{space}"
        self._expiries = f"{_EXPIRIES}{space}"
        self._ttl = ttl
        self._size = size
        self._put = redis.register_script(_PUT)
        self._take = redis.register_script(_TAKE)
        self._expire = redis.register_script(_EXPIRE)

    @property
    def _milliseconds(self) -> int:
        return int(self._ttl * 1000)

    async def put(self, digest: str, session: str, *, named: bool = False) -> list[str]:
        keys = [self._prefix + digest, self._expiries]
        due = time.time() + self._ttl
        with mapped_errors():
            unwanted = _decode(await self._put(keys, [session, self._milliseconds, due, int(named)]))
        return unwanted or await self.expire()

    async def take(self, digest: str) -> str | None:
        with mapped_errors():
            session = await self._take([self._prefix + digest, self._expiries], [self._milliseconds])
        return session.decode() if session else None

    async def expire(self) -> list[str]:
        with mapped_errors():
            return _decode(await self._expire([self._expiries], [time.time(), self._size]))

    async def count(self) -> int:
        with mapped_errors():
            return int(await self._redis.zcard(self._expiries))

    async def leave(self) -> list[str]:
        return []


def _decode(sessions: list[Any]) -> list[str]:
    return [session.decode() for session in sessions]
