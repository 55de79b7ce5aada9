"""What short ids stand for: known in the whole process tree, and to all that share a Redis."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oaicompat_proxy.server.sessions import id_store
from oaicompat_proxy.server.sessions.id_store import MemoryIds, RedisIds, StoredId
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]


def stored_id(text: str = "an id of the agent's", seconds: float = 60.0, prefix: str = "oc_") -> StoredId:
    return StoredId(f"{prefix}{os.urandom(12).hex()}", text, time.time() + seconds)


@pytest.mark.parametrize("prefix", ["oc_", "confirm_"])
@pytest.mark.parametrize("text", ["x", "caf\u00e9", "\ud800", "x" * 900])
async def test_a_stored_id_is_found(prefix: str, text: str) -> None:
    ids, one = MemoryIds(), stored_id(text, prefix=prefix)
    assert ids.add(one)
    assert await ids.find([one.id, "oc_other"]) == {one.id: text}


async def test_what_is_too_long_or_too_old_is_not_known() -> None:
    ids, long, old = MemoryIds(), stored_id("x" * 2000), stored_id(seconds=-1)
    assert not ids.add(long)
    ids.add(old)
    assert await ids.find([long.id, old.id]) == {}


@asynccontextmanager
async def in_redis(server: RedisServer) -> AsyncIterator[RedisIds]:
    async with connect(server.url) as redis:
        yield RedisIds(redis)


def forget_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another replica, which has stored nothing."""
    for name in ("_QUESTIONS", "_CALLS", "_ANSWERED"):
        monkeypatch.setattr(id_store, name, id_store.SharedTable(slots=16, slot_size=1024))


async def test_an_id_is_taken_once_until_it_is_given_back() -> None:
    ids, one, until = MemoryIds(), stored_id(prefix="confirm_"), time.time() + 60
    assert [await ids.claim(one.id, until=until) for _ in range(3)] == [True, False, False]
    await ids.release(one.id)
    assert [await ids.claim(one.id, until=until) for _ in range(2)] == [True, False]
    assert await ids.claim(stored_id(prefix="confirm_").id, until=until)


async def test_an_id_is_taken_once_by_all_replicas(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    one, until = stored_id(prefix="confirm_"), time.time() + 60
    async with in_redis(redis_server) as ids:
        assert await ids.claim(one.id, until=until)
        forget_here(monkeypatch)
        assert not await ids.claim(one.id, until=until)
        await ids.release(one.id)
        forget_here(monkeypatch)
        assert await ids.claim(one.id, until=until)


async def test_without_redis_an_id_is_taken_once_here(own_redis: RedisServer) -> None:
    one, until = stored_id(prefix="confirm_"), time.time() + 60
    own_redis.stop()
    async with in_redis(own_redis) as ids:
        assert [await ids.claim(one.id, until=until) for _ in range(2)] == [True, False]
        await ids.release(one.id)
        assert await ids.claim(one.id, until=until)


@pytest.mark.parametrize("text", ["x", "caf\u00e9", "\ud800", "x" * 5000])
async def test_other_replicas_know_what_was_shared(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    one, other = stored_id(text), stored_id()
    async with in_redis(redis_server) as ids:
        assert ids.add(one)
        await ids.share([one])
        forget_here(monkeypatch)
        assert await ids.find([one.id, other.id]) == {one.id: text}


async def test_redis_holds_so_many_and_each_for_its_time(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_store, "MAX_IN_REDIS", 2)
    all_of_them = [stored_id(seconds=50 + number) for number in range(4)]
    async with connect(redis_server.url) as redis:
        await redis.delete("oaicompat:ids")
        ids = RedisIds(redis)
        for each in all_of_them:
            await ids.share([each])
        forget_here(monkeypatch)
        assert set(await ids.find([each.id for each in all_of_them])) == {each.id for each in all_of_them[2:]}
        assert 0 < await redis.pttl(f"oaicompat:id:{all_of_them[3].id}") <= 60_000


async def test_without_an_answer_of_redis_this_process_goes_on() -> None:
    async with connect("redis://127.0.0.1:1/0") as redis:
        ids, one = RedisIds(redis), stored_id()
        ids.add(one)
        await ids.share([one])
        assert await ids.find([one.id, "oc_other"]) == {one.id: one.original}


async def test_a_damaged_id_is_unknown(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect(redis_server.url) as redis:
        for value in (b"", b"\xff", b"another-id"):
            ids, one = RedisIds(redis), stored_id()
            await ids.share([one])
            await redis.set(f"oaicompat:id:{one.id}", value)
            forget_here(monkeypatch)
            assert await ids.find([one.id]) == {}
