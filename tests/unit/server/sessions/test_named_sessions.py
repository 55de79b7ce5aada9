"""Session names: the same in memory and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.sessions import named_sessions as session_names
from oaicompat_proxy.server.sessions.named_sessions import UNKNOWN, MemoryNames, RedisNames, SessionNames
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[list[SessionNames]]:
    """The store as two workers see it, with room for three names; one process has only one."""
    if request.param == "memory":
        store = MemoryNames(size=3)
        yield [store, store]
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_client.connect(server.url) as one, redis_client.connect(server.url) as other:
        yield [RedisNames(one, size=3), RedisNames(other, size=3)]


async def test_a_name_of_whole_conversations_is_known_to_all(stores: list[SessionNames]) -> None:
    here, there = stores
    assert not await here.sends_all("n1")
    await here.set_sends_all("n1")
    assert await there.sends_all("n1")
    assert not await there.sends_all("n2")


async def test_the_names_that_were_not_used_for_longest_give_way(stores: list[SessionNames]) -> None:
    here, there = stores
    for name in ("n1", "n2", "n3"):
        await here.set_sends_all(name)
    await there.set_sends_all("n1")
    await there.set_sends_all("n4")
    assert [await here.sends_all(name) for name in ("n1", "n2", "n3", "n4")] == [True, False, True, True]


async def test_a_session_has_answered_one_conversation_at_a_time(stores: list[SessionNames]) -> None:
    here, there = stores
    assert await here.answered("s1") is None
    await here.set_answered("s1", "d1")
    assert await there.answered("s1") == "d1"
    assert not await there.claim("s1", "d2")
    assert await there.claim("s1", "d1")
    assert await here.answered("s1") == UNKNOWN
    assert not await here.claim("s1", "d1")
    await there.set_answered("s1", "d2")
    assert await here.claim("s1", "d2")


async def test_of_many_who_take_at_once_one_gets_it(stores: list[SessionNames]) -> None:
    await stores[0].set_answered("s1", "d1")
    assert sum(await asyncio.gather(*(store.claim("s1", "d1") for store in stores * 10))) == 1


async def test_only_so_many_sessions_are_held_in_memory() -> None:
    store = MemoryNames(size=3)
    for number in range(5):
        await store.set_answered(f"s{number}", f"d{number}")
    assert [await store.answered(f"s{number}") for number in range(5)] == [None, None, "d2", "d3", "d4"]


async def test_the_session_that_was_not_used_for_longest_gives_way_first() -> None:
    store = MemoryNames(size=2)
    for session in ("s1", "s2", "s1", "s3"):
        await store.set_answered(session, "d")
    assert [await store.answered(session) for session in ("s1", "s2", "s3")] == ["d", None, "d"]


async def test_what_redis_keeps_runs_out(monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        await RedisNames(redis, size=3).set_answered("s1", "d1")
        (key,) = await redis.keys("oaicompat:session-answers:*")
        assert session_names.ANSWERED_TTL - 60 < await redis.ttl(key) <= session_names.ANSWERED_TTL


async def test_what_was_not_used_after_all_is_forgotten(stores: list[SessionNames]) -> None:
    here, there = stores
    await here.set_answered("s1", UNKNOWN)
    await there.forget("s1")
    assert await here.answered("s1") is None


async def test_gateways_in_the_same_redis_are_kept_apart(redis_server: RedisServer) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        one, other = RedisNames(redis, "/a", size=3), RedisNames(redis, "/b", size=3)
        await one.set_sends_all("n1")
        await one.set_answered("s1", "d1")
        assert not await other.sends_all("n1")
        assert await other.answered("s1") is None


async def test_a_redis_that_is_gone_says_so(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.1)
    async with redis_client.connect(own_redis.url) as redis:
        store = RedisNames(redis, size=3)
        own_redis.stop()
        calls = (store.set_sends_all("n"), store.sends_all("n"), store.answered("s"), store.set_answered("s", "d"))
        for call in (*calls, store.claim("s", "d"), store.forget("s")):
            with pytest.raises(StoreUnavailable):
                await call
