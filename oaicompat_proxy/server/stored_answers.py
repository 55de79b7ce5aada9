"""Stores the parts of answers that later requests refer to: for a whole process tree, with Redis for all replicas.

An entry belongs to one caller. Number, size and age of the entries are bounded; the oldest are evicted.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..core.errors import InvalidRequest, SessionsUnavailable
from .bounded_keys import SET_BOUNDED
from .redis import mapped_errors
from .shared_table import SharedTable

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

TTL = 24 * 3600.0
"""Seconds for which an answer can be referred to, if there is room for so long."""

MAX_IN_REDIS = 20_000
"""Entries of all gateways and replicas; the oldest are evicted."""

_TABLE = SharedTable(slots=4096, slot_size=16 * 1024)
"""64 MB, of which the kernel allocates only the pages in use."""

_LENGTH = 4
"""Bytes in front of an entry for its length."""


class StoredAnswers(Protocol):
    """Entries of all callers, each found by its caller's scope and its name."""

    async def add(self, scope: str, entries: Mapping[str, bytes]) -> None: ...

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        """Raises SessionsUnavailable."""
        ...

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        """The entries that exist. `most`: bytes of all of them. Raises InvalidRequest for more, SessionsUnavailable."""
        ...


class NoAnswers:
    """Nothing is stored."""

    async def add(self, scope: str, entries: Mapping[str, bytes]) -> None:
        pass

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        pass

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        return {}


class MemoryAnswers:
    """For one process tree."""

    def __init__(self, table: SharedTable = _TABLE) -> None:
        self._table = table

    async def add(self, scope: str, entries: Mapping[str, bytes]) -> None:
        until = time.time() + TTL
        for name, value in entries.items():
            self._put(_key(scope, name), value, until)

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        for name in names:
            self._table.delete(f"{_key(scope, name)}#0")

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name in names:
            value = self._get(_key(scope, name), most)
            if value is not None:
                found[name] = value
                most = _rest(most, len(value))
        return found

    def _put(self, key: str, value: bytes, until: float) -> None:
        value = len(value).to_bytes(_LENGTH, "big") + value
        for number, start in enumerate(range(0, len(value), self._table.max_value)):
            self._table.put(f"{key}#{number}", value[start : start + self._table.max_value], until=until)

    def _get(self, key: str, most: int) -> bytes | None:
        value = self._table.get(f"{key}#0")
        if value is None:
            return None
        length = int.from_bytes(value[:_LENGTH], "big")
        _rest(most, length)
        pieces = [value]
        for number in range(1, -(-(_LENGTH + length) // self._table.max_value)):
            piece = self._table.get(f"{key}#{number}")
            if piece is None:
                return None
            pieces.append(piece)
        return b"".join(pieces)[_LENGTH:]


_PREFIX = "oaicompat:answer:"
_ALL = "oaicompat:answers"


class RedisAnswers:
    """For all processes that share a Redis. Redis is used only for what this process tree does not know."""

    def __init__(self, redis: Redis, table: SharedTable = _TABLE) -> None:
        self._redis = redis
        self._local = MemoryAnswers(table)
        self._add = redis.register_script(SET_BOUNDED)

    async def add(self, scope: str, entries: Mapping[str, bytes]) -> None:
        await self._local.add(scope, entries)
        try:
            for name, value in entries.items():
                with mapped_errors():
                    await self._add(
                        [_PREFIX + _key(scope, name), _ALL], [value, int(TTL * 1000), time.time(), MAX_IN_REDIS]
                    )
        except SessionsUnavailable:
            log.warning("Redis unavailable: an answer is stored for this process tree only")

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        names = list(names)
        await self._local.delete(scope, names)
        with mapped_errors():
            for key in (_PREFIX + _key(scope, name) for name in names):
                await self._redis.delete(key)
                await self._redis.zrem(_ALL, key)

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        names = list(names)
        found = await self._local.find(scope, names, most=most)
        most -= sum(map(len, found.values()))
        for name in names:
            if name not in found:
                with mapped_errors():
                    value = await self._redis.get(_PREFIX + _key(scope, name))
                if isinstance(value, bytes):
                    found[name] = value
                    most = _rest(most, len(value))
        return found


def _key(scope: str, name: str) -> str:
    return hashlib.sha256(f"{scope}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _rest(most: int, size: int) -> int:
    if size > most:
        raise InvalidRequest(
            "The request refers to more earlier output than this server accepts; refer to less, or send its text.",
            param="input",
            code="string_above_max_length",
        )
    return most - size
