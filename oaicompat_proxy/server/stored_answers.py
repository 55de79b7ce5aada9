"""Stores the parts of answers that later requests refer to: for a whole process tree, with Redis for all replicas.

An entry belongs to one caller. Number, bytes and age of each caller's entries are bounded; the caller's oldest ones are
evicted.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..core.errors import NotFound, SessionsUnavailable
from .bounded_keys import DELETE_OF_OWNER, REPLACE_BOUNDED_BY_OWNER, SET_BOUNDED_BY_OWNER
from .entry_keys import entry_key, rest_of, scope_key
from .ledgers import Ledgers
from .redis import mapped_errors
from .shared_table import SharedTable

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

TTL = 24 * 3600.0
"""Seconds for which an answer can be referred to, if there is room for so long."""

MAX_OF_CALLER, MAX_BYTES_OF_CALLER = 800, 16 * 1024 * 1024
"""Entries of one caller, and their bytes, in the memory of a process tree; the caller's oldest are evicted."""

MAX_OF_CALLER_IN_REDIS, MAX_BYTES_OF_CALLER_IN_REDIS = 4000, 64 * 1024 * 1024
"""The same in Redis."""

MAX_IN_REDIS = 40_000
"""Entries of all callers, gateways and replicas; the oldest are evicted."""

MGET_BATCH_SIZE = 16
"""Entries that Redis is asked for in one command: with the largest entries they are 8 MB."""

DELETE_BATCH_SIZE = 500
"""Entries that Redis deletes in one command."""

_TABLE = SharedTable(slots=4096, slot_size=16 * 1024, candidates=8)
"""64 MB, of which the kernel allocates only the pages in use."""

_LEDGERS = Ledgers(callers=256, most=MAX_OF_CALLER, most_bytes=MAX_BYTES_OF_CALLER)
"""4 MB, of which the kernel allocates only the pages in use."""

_LENGTH = 4
"""Bytes in front of an entry for its length."""


class StoredAnswers(Protocol):
    """Entries of all callers, each found by its caller's scope and its name."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float = TTL) -> None:
        """`ttl`: seconds for which they are stored, if there is room for so long."""

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        """Stores an entry that several requests change, in all processes. Returns False, and changes nothing, if it is
        not `old` any more; None: there is none yet. Raises SessionsUnavailable, and NotFound where nothing is stored.
        """
        ...

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        """Raises SessionsUnavailable."""
        ...

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        """The entries that exist. `most`: bytes of all of them. Raises InvalidRequest for more, SessionsUnavailable."""
        ...

    async def count(self, scope: str) -> int:
        """Number of the caller's entries. Raises SessionsUnavailable."""
        ...

    async def delete_all(self, scope: str) -> int:
        """Deletes all entries of the caller, and returns their number. Raises SessionsUnavailable."""
        ...

    async def close(self) -> None: ...


class NoAnswers:
    """Nothing is stored."""

    async def close(self) -> None:
        pass

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float = TTL) -> None:
        pass

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        raise NotFound("This endpoint is not supported: this server stores nothing.", code="unsupported_endpoint")

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        pass

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        return {}

    async def count(self, scope: str) -> int:
        return 0

    async def delete_all(self, scope: str) -> int:
        return 0


class MemoryAnswers:
    """For one process tree."""

    def __init__(self, table: SharedTable = _TABLE, ledgers: Ledgers = _LEDGERS) -> None:
        """`ledgers`: what each caller has in the table."""
        self._table = table
        self._ledgers = ledgers

    async def close(self) -> None:
        pass

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float = TTL) -> None:
        caller, until = _short(scope_key(scope)), time.time() + ttl
        for name, value in entries.items():
            key = _short(entry_key(scope, name))
            for evicted in self._ledgers.add(caller, key, len(value)):
                self._delete(*evicted)
            self._put(key, value, until, scope)

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        with self._ledgers.locked():
            if self._get(_short(entry_key(scope, name)), MAX_BYTES_OF_CALLER) != old:
                return False
            await self.add(scope, {name: new})
            return True

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        caller = _short(scope_key(scope))
        for name in names:
            key = _short(entry_key(scope, name))
            self._delete(key, self._ledgers.remove(caller, key))

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name in names:
            value = self._get(_short(entry_key(scope, name)), most)
            if value is not None:
                found[name] = value
                most = rest_of(most, len(value))
        return found

    async def count(self, scope: str) -> int:
        return self._ledgers.count(_short(scope_key(scope)))

    async def delete_all(self, scope: str) -> int:
        entries = self._ledgers.clear(_short(scope_key(scope)))
        for key, length in entries:
            self._delete(key, length)
        return len(entries)

    def _put(self, key: bytes, value: bytes, until: float, scope: str) -> None:
        value = len(value).to_bytes(_LENGTH, "big") + value
        for number, start in enumerate(range(0, len(value), self._table.max_value)):
            piece = value[start : start + self._table.max_value]
            self._table.put(_piece(key, number), piece, until=until, owner=scope)

    def _get(self, key: bytes, most: int) -> bytes | None:
        value = self._table.get(_piece(key, 0))
        if value is None:
            return None
        length = int.from_bytes(value[:_LENGTH], "big")
        rest_of(most, length)
        pieces = [value]
        for number in range(1, self._pieces(length)):
            piece = self._table.get(_piece(key, number))
            if piece is None:
                return None
            pieces.append(piece)
        return b"".join(pieces)[_LENGTH:]

    def _delete(self, key: bytes, length: int) -> None:
        for number in range(self._pieces(length)):
            self._table.delete(_piece(key, number))

    def _pieces(self, length: int) -> int:
        return -(-(_LENGTH + length) // self._table.max_value)


_PREFIX = "oaicompat:answer:"
_ALL = "oaicompat:answers"


class RedisAnswers:
    """For all processes that share a Redis. What could not be written there is known to this process tree alone."""

    def __init__(
        self,
        redis: Redis,
        local: MemoryAnswers | None = None,
        *,
        most: int = MAX_OF_CALLER_IN_REDIS,
        most_bytes: int = MAX_BYTES_OF_CALLER_IN_REDIS,
        most_of_all: int = MAX_IN_REDIS,
    ) -> None:
        """`most`, `most_bytes`: of the entries of one caller."""
        self._redis = redis
        self._local = local or MemoryAnswers()
        self._bounds = (most_of_all, most, most_bytes)
        self._add = redis.register_script(SET_BOUNDED_BY_OWNER)
        self._replace = redis.register_script(REPLACE_BOUNDED_BY_OWNER)
        self._delete = redis.register_script(DELETE_OF_OWNER)

    async def close(self) -> None:
        """The connection belongs to the process."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float = TTL) -> None:
        try:
            with mapped_errors():
                for name, value in entries.items():
                    keys = [_redis_key(scope, name), *_redis_sets(scope)]
                    await self._add(keys, [value, int(ttl * 1000), time.time(), *self._bounds])
        except SessionsUnavailable:
            log.warning("Redis unavailable: an answer is stored for this process tree only")
            await self._local.add(scope, entries, ttl=ttl)

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        """Never in this process tree alone: the others would change another entry of this name."""
        keys = [_redis_key(scope, name), *_redis_sets(scope)]
        digest = "" if old is None else hashlib.sha1(old, usedforsecurity=False).hexdigest()
        with mapped_errors():
            return bool(await self._replace(keys, [new, int(TTL * 1000), time.time(), *self._bounds, digest]))

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        names = list(names)
        await self._local.delete(scope, names)
        with mapped_errors():
            await self._delete([*_redis_sets(scope), *(_redis_key(scope, name) for name in names)])

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        names = list(names)
        found = await self._local.find(scope, names, most=most)
        missing = [name for name in names if name not in found]
        most -= sum(map(len, found.values()))
        for start in range(0, len(missing), MGET_BATCH_SIZE):
            asked = missing[start : start + MGET_BATCH_SIZE]
            with mapped_errors():
                values = await self._redis.mget([_redis_key(scope, name) for name in asked])
            for name, value in zip(asked, values, strict=True):
                if isinstance(value, bytes):
                    found[name] = value
                    most = rest_of(most, len(value))
        return found

    async def count(self, scope: str) -> int:
        with mapped_errors():
            return await self._local.count(scope) + int(await self._redis.zcard(_redis_sets(scope)[1]))

    async def delete_all(self, scope: str) -> int:
        deleted = await self._local.delete_all(scope)
        sets = _redis_sets(scope)
        with mapped_errors():
            while keys := await self._redis.zrange(sets[1], 0, DELETE_BATCH_SIZE - 1):
                await self._delete([*sets, *keys])
                deleted += len(keys)
            await self._redis.delete(*sets[1:])
        return deleted


def _redis_key(scope: str, name: str) -> str:
    return f"{_PREFIX}{scope_key(scope)}:{entry_key(scope, name)}"


def _redis_sets(scope: str) -> tuple[str, str, str]:
    owner = _PREFIX + scope_key(scope)
    return _ALL, f"{owner}:set", f"{owner}:sizes"


def _short(key: str) -> bytes:
    return bytes.fromhex(key)[:16]


def _piece(key: bytes, number: int) -> str:
    return f"{key.hex()}#{number}"
