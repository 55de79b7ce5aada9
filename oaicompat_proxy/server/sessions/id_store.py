"""Stores the original ids behind the short ids of clients: for a whole process tree, with Redis for all replicas."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...core.confirmation_call import TOKEN_PREFIX
from ...core.errors import StoreUnavailable
from ..shared_storage.bounded_keys import SET_BOUNDED
from ..shared_storage.checksums import add_checksum, check
from ..shared_storage.redis_client import mapped_errors
from ..shared_storage.shared_table import SharedTable

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_QUESTIONS = SharedTable(slots=2048, slot_size=32 * 1024)
"""Ids of confirmations. Their runs wait, for an hour by default, so there are never thousands."""
_CALLS = SharedTable(slots=8192, slot_size=1024)
"""Ids of calls. Only ids that clients would not accept are stored, and none above a kilobyte."""

_ANSWERED = SharedTable(slots=8192, slot_size=64)
"""Ids of answered confirmations."""

MAX_IN_REDIS = 100_000
"""Ids of all gateways and replicas; the oldest are evicted."""


class StoredId(NamedTuple):
    id: str
    original: str
    expires: float
    """Unix time in seconds."""


class IdStore(Protocol):
    """Bounded: the oldest ids are evicted."""

    def add(self, stored: StoredId) -> bool:
        """Stores an id for this process tree. Returns whether the id fits and can be found later."""
        ...

    async def share(self, stored: Iterable[StoredId]) -> None:
        """Stores ids for all other processes. Called before the client can send its next request."""
        ...

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        """The original ids by the short ids that are stored."""
        ...

    async def claim(self, short: str, *, until: float) -> bool:
        """Marks an id as used. Returns False if it is marked already. `until`: Unix time of the mark's end."""
        ...

    async def release(self, short: str) -> None:
        """Removes the mark of an id that was not used after all."""
        ...


class MemoryIds:
    """The store of one process tree."""

    def add(self, stored: StoredId) -> bool:
        value = stored.original.encode("utf-8", "surrogatepass")
        return _table_of(stored.id).put(stored.id, value, until=stored.expires)

    async def share(self, stored: Iterable[StoredId]) -> None:
        pass

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        values = {each: _table_of(each).get(each) for each in ids}
        return {each: value.decode("utf-8", "surrogatepass") for each, value in values.items() if value is not None}

    async def claim(self, short: str, *, until: float) -> bool:
        return _ANSWERED.get(short) is None and _ANSWERED.put(short, b"", until=until)

    async def release(self, short: str) -> None:
        _ANSWERED.delete(short)


def _table_of(short: str) -> SharedTable:
    return _QUESTIONS if short.startswith(TOKEN_PREFIX) else _CALLS


_PREFIX = "oaicompat:id:"
_ALL = "oaicompat:ids"
_MARKED = "oaicompat:answered:"


class RedisIds:
    """The store of all processes that share a Redis, which is asked only for ids unknown in this process tree."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._local = MemoryIds()
        self._share = redis.register_script(SET_BOUNDED)

    def add(self, stored: StoredId) -> bool:
        self._local.add(stored)
        return True

    async def share(self, stored: Iterable[StoredId]) -> None:
        try:
            for each in stored:
                key, left = _PREFIX + each.id, _milliseconds_to(each.expires)
                value = add_checksum(key, each.original.encode("utf-8", "surrogatepass"))
                with mapped_errors():
                    await self._share([key, _ALL], [value, left, time.time(), MAX_IN_REDIS])
        except StoreUnavailable as error:
            log.warning("only this process tree knows the original id of a tool call, as Redis fails: %s", error.cause)

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        found = await self._local.find(ids)
        missing = [each for each in ids if each not in found]
        if not missing:
            return found
        try:
            with mapped_errors():
                values = await self._redis.mget([_PREFIX + each for each in missing])
        except StoreUnavailable as error:
            log.warning("original ids of tool calls could not be looked up, as Redis fails: %s", error.cause)
            return found
        for each, stored in zip(missing, values, strict=True):
            if stored is not None and (value := check(_PREFIX + each, stored)) is not None:
                found[each] = value.decode("utf-8", "surrogatepass")
        return found

    async def claim(self, short: str, *, until: float) -> bool:
        if not await self._local.claim(short, until=until):
            return False
        try:
            with mapped_errors():
                return bool(await self._redis.set(_MARKED + short, b"", nx=True, px=_milliseconds_to(until)))
        except StoreUnavailable as error:
            log.warning("only this process tree knows that a confirmation is answered, as Redis fails: %s", error.cause)
            return True

    async def release(self, short: str) -> None:
        await self._local.release(short)
        with contextlib.suppress(StoreUnavailable), mapped_errors():
            await self._redis.delete(_MARKED + short)


def _milliseconds_to(moment: float) -> int:
    return max(1, int((moment - time.time()) * 1000))
