"""What the short ids stand for that clients get: for all workers of a process tree, and with Redis for all replicas."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...core.errors import SessionsUnavailable
from ...translation.tool_call_ids import TOKEN_PREFIX
from ..redis import mapped_errors
from ..shared_table import SharedTable

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_QUESTIONS = SharedTable(slots=2048, slot_size=32 * 1024)
"""A question stays open for an hour by default, and its run waits all the time: there are never thousands."""
_CALLS = SharedTable(slots=8192, slot_size=1024)
"""Only of agents whose ids are longer or odder than clients take; one of more than a kilobyte is not kept."""

MOST_IN_REDIS = 100_000
"""Ids of all gateways and replicas; the oldest give way."""


class Noted(NamedTuple):
    id: str
    text: str
    """What it stands for."""
    until: float
    """Unix time in seconds."""


class IdStore(Protocol):
    """Bounded: what is too old, or too much, is forgotten."""

    def note(self, noted: Noted) -> bool:
        """At once, for this process and those that share its memory. Whether it will be known."""
        ...

    async def share(self, noted: Iterable[Noted]) -> None:
        """With all others, so that they know it before the client comes back."""
        ...

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        """Those that are known."""
        ...


class MemoryIds:
    """For one process tree."""

    def note(self, noted: Noted) -> bool:
        value = noted.text.encode("utf-8", "surrogatepass")
        return _table_of(noted.id).put(noted.id, value, until=noted.until)

    async def share(self, noted: Iterable[Noted]) -> None:
        pass

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        values = {each: _table_of(each).get(each) for each in ids}
        return {each: value.decode("utf-8", "surrogatepass") for each, value in values.items() if value is not None}


def _table_of(short: str) -> SharedTable:
    return _QUESTIONS if short.startswith(TOKEN_PREFIX) else _CALLS


_PREFIX = "oaicompat:id:"
_ALL = "oaicompat:ids"

_SHARE = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4])
if over > 0 then
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1)) do
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[2], key)
  end
end
return 1
"""


class RedisIds:
    """For all processes that share a Redis, which is asked only for what this process tree does not know."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._here = MemoryIds()
        self._share = redis.register_script(_SHARE)

    def note(self, noted: Noted) -> bool:
        self._here.note(noted)
        return True

    async def share(self, noted: Iterable[Noted]) -> None:
        try:
            for each in noted:
                left = max(1, int((each.until - time.time()) * 1000))
                value = each.text.encode("utf-8", "surrogatepass")
                with mapped_errors():
                    await self._share([_PREFIX + each.id, _ALL], [value, left, time.time(), MOST_IN_REDIS])
        except SessionsUnavailable:
            log.warning("what a tool call's id stands for is known to this process tree only: Redis does not answer")

    async def find(self, ids: Collection[str]) -> dict[str, str]:
        found = await self._here.find(ids)
        missing = [each for each in ids if each not in found]
        if not missing:
            return found
        try:
            with mapped_errors():
                values = await self._redis.mget([_PREFIX + each for each in missing])
        except SessionsUnavailable:
            log.warning("what a tool call's id stands for could not be looked up: Redis does not answer")
            return found
        there = {each: value for each, value in zip(missing, values, strict=True) if isinstance(value, bytes)}
        return found | {each: value.decode("utf-8", "surrogatepass") for each, value in there.items()}
