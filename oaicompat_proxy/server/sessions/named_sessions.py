"""What is known of the clients' own session names: whose clients send whole conversations, and what the session that
belongs to a name has answered last.

Nothing here is needed to find a name's own session, whose key is derived from the name. What is forgotten costs a
conversation that is sent whole once more.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from ..redis import mapped_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

UNKNOWN = ""
"""In place of a digest: the session is in use, and nobody knows which conversation it has answered."""


class SessionNames(Protocol):
    """Every method may raise SessionsUnavailable."""

    async def note_whole(self, name: str) -> None:
        """Clients send whole conversations under this name: one of them held more than what a user says."""
        ...

    async def is_whole(self, name: str) -> bool: ...

    async def answered(self, session: str) -> str | None:
        """The digest of the conversation that the session has answered; UNKNOWN, or None for one never used."""
        ...

    async def note_answered(self, session: str, digest: str) -> None: ...

    async def take(self, session: str, digest: str) -> bool:
        """Whether the session has answered exactly this; from now on it is unknown."""
        ...

    async def forget(self, session: str) -> None:
        """It has not been used, after all."""
        ...


class MemoryNames:
    """For one process."""

    def __init__(self, *, size: int) -> None:
        """`size`: names, and sessions; those that were not used for longest give way."""
        self._size = size
        self._whole: OrderedDict[str, None] = OrderedDict()
        self._answered: OrderedDict[str, str] = OrderedDict()

    async def note_whole(self, name: str) -> None:
        self._whole[name] = None
        self._whole.move_to_end(name)
        if len(self._whole) > self._size:
            self._whole.popitem(last=False)

    async def is_whole(self, name: str) -> bool:
        return name in self._whole

    async def answered(self, session: str) -> str | None:
        return self._answered.get(session)

    async def note_answered(self, session: str, digest: str) -> None:
        self._answered[session] = digest
        self._answered.move_to_end(session)
        if len(self._answered) > self._size:
            self._answered.popitem(last=False)

    async def take(self, session: str, digest: str) -> bool:
        known = await self.answered(session) == digest
        if known:
            await self.note_answered(session, UNKNOWN)
        return known

    async def forget(self, session: str) -> None:
        self._answered.pop(session, None)


REMEMBERED = 7 * 24 * 3600
"""Seconds for which Redis keeps what a session has answered, after its last run: the session itself is never closed."""

_WHOLE = "oaicompat:session-names"
_ANSWERED = "oaicompat:session-answers:"

_NOTE_WHOLE = """
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
"""

_TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'EX', ARGV[2])
return 1
"""


class RedisNames:
    """For all processes that share a Redis. The names stand in a sorted set, by the time of their last request."""

    def __init__(self, redis: Redis, space: str = "", *, size: int) -> None:
        """`space`: apart from other gateways in the same Redis. `size`: names; sessions are kept for REMEMBERED."""
        self._redis = redis
        self._whole = f"{_WHOLE}{space}"
        self._prefix = f"{_ANSWERED}{space}"
        self._size = size
        self._note_whole = redis.register_script(_NOTE_WHOLE)
        self._take = redis.register_script(_TAKE)

    async def note_whole(self, name: str) -> None:
        with mapped_errors():
            await self._note_whole([self._whole], [time.time(), name, self._size])

    async def is_whole(self, name: str) -> bool:
        with mapped_errors():
            return await self._redis.zscore(self._whole, name) is not None

    async def answered(self, session: str) -> str | None:
        with mapped_errors():
            digest: bytes | None = await self._redis.get(self._prefix + session)  # type: ignore[assignment]
        return None if digest is None else digest.decode()

    async def note_answered(self, session: str, digest: str) -> None:
        with mapped_errors():
            await self._redis.set(self._prefix + session, digest, ex=REMEMBERED)

    async def take(self, session: str, digest: str) -> bool:
        with mapped_errors():
            return bool(await self._take([self._prefix + session], [digest, REMEMBERED]))

    async def forget(self, session: str) -> None:
        with mapped_errors():
            await self._redis.delete(self._prefix + session)
