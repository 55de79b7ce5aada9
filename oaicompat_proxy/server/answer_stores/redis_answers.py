"""Stored answers in Redis, for all replicas."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ...core.errors import StoreUnavailable
from ..shared_storage.bounded_keys import DELETE_OF_OWNER, REPLACE_BOUNDED_BY_OWNER, SET_BOUNDED_BY_OWNER
from ..shared_storage.checksums import add_checksum, check
from ..shared_storage.redis_client import find_keys, mapped_errors
from .entry_keys import entry_key, rest_of, scope_key, scope_keys
from .local_entries import LocalEntries
from .memory_answers import MemoryAnswers
from .stored_answers import Bounds

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

MAX_BYTES_OF_CALLER = 64 * 1024 * 1024
"""Bytes of one caller's entries."""

MAX_IN_REDIS = 200_000
"""Entries of all callers, gateways and replicas; the oldest are evicted."""

MGET_BATCH_SIZE = 16
"""Entries that Redis is asked for in one command: with the largest entries they are 8 MB."""

DELETE_BATCH_SIZE = 500
"""Entries that Redis deletes in one command."""

_PREFIX = "oaicompat:answer:"
_ALL = "oaicompat:answers"


class RedisAnswers:
    """The store of all processes that share a Redis. If a write fails, the entry is kept in this process tree."""

    def __init__(
        self,
        redis: Redis,
        bounds: Bounds,
        local: MemoryAnswers | None = None,
        *,
        max_bytes: int = MAX_BYTES_OF_CALLER,
        most_of_all: int = MAX_IN_REDIS,
    ) -> None:
        """`max_bytes`: bytes of one caller's entries. `most_of_all`: entries of all callers."""
        self._redis = redis
        self._ttl = bounds.ttl
        self._local = LocalEntries(local or MemoryAnswers(bounds))
        self._bounds = (most_of_all, bounds.entries, max_bytes)
        self._add = redis.register_script(SET_BOUNDED_BY_OWNER)
        self._replace = redis.register_script(REPLACE_BOUNDED_BY_OWNER)
        self._delete = redis.register_script(DELETE_OF_OWNER)

    async def close(self) -> None:
        """Does nothing: the connection belongs to the process."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        milliseconds = int((self._ttl if ttl is None else ttl) * 1000)
        try:
            with mapped_errors():
                for name, value in entries.items():
                    key = _redis_key(scope, name)
                    stored, keys = add_checksum(key, value), [key, *_redis_sets(scope)]
                    await self._add(keys, [stored, milliseconds, time.time(), *self._bounds])
        except StoreUnavailable as error:
            if not scope:
                return  # a heartbeat: found here, it would hide that Redis has lost it
            log.warning("an answer is stored for this process tree only, as Redis fails: %s", error.cause)
            await self._local.add(scope, entries, ttl=ttl)
        else:
            await self._local.remove_older(scope, entries)

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        """Only in Redis: otherwise process trees would change different entries of the same name."""
        if is_local := await self._local.holds(scope, name, old):
            old = None
        key = _redis_key(scope, name)
        digest = "" if old is None else hashlib.sha1(add_checksum(key, old), usedforsecurity=False).hexdigest()
        keys, stored, milliseconds = [key, *_redis_sets(scope)], add_checksum(key, new), int(self._ttl * 1000)
        with mapped_errors():
            done = bool(await self._replace(keys, [stored, milliseconds, time.time(), *self._bounds, digest]))
        if done and is_local:
            await self._local.delete(scope, [name])
        return done

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        names = list(names)
        await self._local.delete(scope, names)
        with mapped_errors():
            await self._delete([*_redis_sets(scope), *(_redis_key(scope, name) for name in names)])

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        names = list(names)
        found = await self._local.find(scope, names, max_bytes=max_bytes)
        missing = [name for name in names if name not in found]
        max_bytes -= sum(map(len, found.values()))
        for start in range(0, len(missing), MGET_BATCH_SIZE):
            asked = missing[start : start + MGET_BATCH_SIZE]
            keys = [_redis_key(scope, name) for name in asked]
            with mapped_errors():
                values = await self._redis.mget(keys)
            for name, key, stored in zip(asked, keys, values, strict=True):
                if stored is not None and (value := check(key, stored)) is not None:
                    found[name] = value
                    max_bytes = rest_of(max_bytes, len(value))
        return found

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        counted = await self._local.count(scope, with_users=with_users)
        for owned, _ in await self._owned_sets(scope, with_users=with_users):
            with mapped_errors():
                counted += int(await self._redis.zcard(owned))
        return counted

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        deleted = await self._local.delete_all(scope, with_users=with_users)
        for owned, sizes in await self._owned_sets(scope, with_users=with_users):
            with mapped_errors():
                while keys := await self._redis.zrange(owned, 0, DELETE_BATCH_SIZE - 1):
                    await self._delete([_ALL, owned, sizes, *keys])
                    deleted += len(keys)
                await self._redis.delete(owned, sizes)
        return deleted

    async def _owned_sets(self, scope: str, *, with_users: bool) -> list[tuple[str, str]]:
        """The sets of entries and their hashes of sizes, of one caller or of a key and all of its users."""
        if not with_users:
            _, owned, sizes = _redis_sets(scope)
            return [(owned, sizes)]
        found = await find_keys(self._redis, f"{_PREFIX}{scope_keys(scope, with_users=True)}*:set")
        return [(each, each.removesuffix("set") + "sizes") for each in found]


def _redis_key(scope: str, name: str) -> str:
    return f"{_PREFIX}{scope_key(scope)}:{entry_key(scope, name)}"


def _redis_sets(scope: str) -> tuple[str, str, str]:
    owner = _PREFIX + scope_key(scope)
    return _ALL, f"{owner}:set", f"{owner}:sizes"
