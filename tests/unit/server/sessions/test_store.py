"""The store of recognisable sessions: the same in memory and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.sessions import store as session_store
from oaicompat_proxy.server.sessions.store import MemoryStore, RedisStore, SessionStore
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

TTL = 60.0


class Clock:
    """Time that a test moves; in Redis the keys' own expiry is not waited for."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(session_store, "time", clock)
    return clock


@pytest.fixture(params=["memory", "redis"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[list[SessionStore]]:
    """The store as two workers see it, with room for three sessions; one process has only one."""
    if request.param == "memory":
        store = MemoryStore(ttl=TTL, size=3)
        yield [store, store]
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_client.connect(server.url) as one, redis_client.connect(server.url) as other:
        yield [RedisStore(one, ttl=TTL, size=3), RedisStore(other, ttl=TTL, size=3)]


async def test_what_was_put_is_taken_by_one_only(stores: list[SessionStore]) -> None:
    here, there = stores
    assert await here.put("d1", "s1") == []
    assert await there.claim("d1") == "s1"
    assert await here.claim("d1") is None
    assert await there.claim("d1") is None


async def test_of_many_who_take_at_once_one_gets_it(stores: list[SessionStore]) -> None:
    await stores[0].put("d1", "s1")
    taken = await asyncio.gather(*(store.claim("d1") for store in stores * 10))
    assert sorted(taken, key=str) == [None] * 19 + ["s1"]


async def test_what_was_never_put_is_not_there(stores: list[SessionStore]) -> None:
    assert await stores[0].claim("d1") is None


async def test_conversations_are_kept_apart(stores: list[SessionStore]) -> None:
    here, there = stores
    await here.put("d1", "s1")
    await there.put("d2", "s2")
    assert await here.claim("d2") == "s2"
    assert await there.claim("d1") == "s1"


async def test_a_conversation_that_two_sessions_share_belongs_to_neither(stores: list[SessionStore]) -> None:
    here, there = stores
    await here.put("d1", "s1")
    assert sorted(await there.put("d1", "s2")) == ["s1", "s2"], "both are to be closed"
    assert await here.claim("d1") is None
    assert await there.put("d1", "s3") == ["s3"], "and a third too"
    assert await here.claim("d1") is None


async def test_a_conversation_that_was_taken_belongs_to_nobody_else(stores: list[SessionStore]) -> None:
    """The first client may come back to it, by an edit, and must not find another's session."""
    here, there = stores
    await here.put("d1", "s1")
    await here.claim("d1")
    assert await there.put("d1", "s2") == ["s2"], "the first one goes on and is not to be closed"
    assert await here.claim("d1") is None


async def test_a_session_may_be_put_back(stores: list[SessionStore]) -> None:
    here, there = stores
    await here.put("d1", "s1")
    await here.claim("d1")
    assert await there.put("d1", "s1") == []
    assert await here.claim("d1") == "s1"


async def test_putting_the_same_twice_is_putting_it_once(stores: list[SessionStore]) -> None:
    here, there = stores
    await here.put("d1", "s1")
    assert await there.put("d1", "s1") == []
    assert await here.claim("d1") == "s1"


async def test_a_session_goes_on_under_the_digest_of_its_longer_conversation(stores: list[SessionStore]) -> None:
    here, there = stores
    for number in range(10):
        await here.put(f"d{number}", "s1")
        assert await there.claim(f"d{number}") == "s1"


async def test_the_oldest_give_way_when_there_are_too_many(stores: list[SessionStore], clock: Clock) -> None:
    here, there = stores
    unwanted = []
    for number in range(5):
        clock.now += 1
        unwanted += await stores[number % 2].put(f"d{number}", f"s{number}")
    assert unwanted == ["s0", "s1"]
    assert [await here.claim("d0"), await there.claim("d1")] == [None, None]
    assert [await here.claim(f"d{number}") for number in (2, 3, 4)] == ["s2", "s3", "s4"]


async def test_what_is_taken_makes_room(stores: list[SessionStore], clock: Clock) -> None:
    for number in range(10):
        clock.now += 1
        assert await stores[0].put(f"d{number}", f"s{number}") == []
        if number > 1:
            assert await stores[0].claim(f"d{number - 2}") == f"s{number - 2}"


async def test_expired_sessions_are_returned_once_and_not_found(stores: list[SessionStore], clock: Clock) -> None:
    here, there = stores
    await here.put("d1", "s1")
    clock.now += TTL / 2
    await here.put("d2", "s2")
    assert await here.expire() == []
    clock.now += TTL / 2 + 1
    assert await there.expire() == ["s1"]
    assert await here.expire() == []
    assert await here.claim("d1") is None
    assert await there.claim("d2") == "s2"


async def test_what_was_taken_or_given_up_does_not_grow_old(stores: list[SessionStore], clock: Clock) -> None:
    here, _ = stores
    await here.put("d1", "s1")
    await here.claim("d1")
    await here.put("d2", "s2")
    await here.put("d2", "s3")
    clock.now += 2 * TTL
    assert await here.expire() == []


async def test_using_a_session_makes_it_young_again(stores: list[SessionStore], clock: Clock) -> None:
    here, there = stores
    await here.put("d1", "s1")
    clock.now += TTL - 1
    await there.claim("d1")
    await there.put("d2", "s1")
    clock.now += TTL - 1
    assert await here.expire() == []
    assert await here.claim("d2") == "s1"


# What the two do differently


async def test_at_the_end_of_a_process_its_memory_is_given_up(clock: Clock) -> None:
    store = MemoryStore(ttl=TTL, size=9)
    await store.put("d1", "s1")
    await store.put("d2", "s2")
    await store.claim("d2")
    assert await store.clear() == ["s1"]
    assert await store.clear() == []


async def test_at_the_end_of_a_process_what_redis_knows_is_left_to_the_others(redis_server: RedisServer) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        store = RedisStore(redis, ttl=TTL, size=9)
        await store.put("d1", "s1")
        assert await store.clear() == []
        assert await store.claim("d1") == "s1"


async def test_gateways_in_the_same_redis_keep_apart(redis_server: RedisServer) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        one, other = (RedisStore(redis, space, ttl=TTL, size=1) for space in ("/a/v1", "/b/v1"))
        assert await one.put("d1", "s1") == []
        assert await other.put("d1", "s2") == []
        assert (await one.count(), await other.count()) == (1, 1)
        assert (await one.claim("d1"), await other.claim("d1")) == ("s1", "s2")


async def test_memory_does_not_grow_with_what_was_taken(clock: Clock) -> None:
    store = MemoryStore(ttl=TTL, size=3)
    for number in range(100):
        await store.put(f"d{number}", "s1")
        await store.claim(f"d{number}")
    assert await store.put("d96", "s2") == [], "that it was taken is forgotten"
    assert await store.put("d97", "s2") == ["s2"], "which of the two is meant is not known"


async def test_expired_sessions_in_memory_are_also_returned_by_put(clock: Clock) -> None:
    store = MemoryStore(ttl=TTL, size=3)
    await store.put("d1", "s1")
    clock.now += TTL + 1
    assert await store.put("d2", "s2") == ["s1"]


async def test_every_key_in_redis_ends_by_itself(redis_server: RedisServer) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        store = RedisStore(redis, ttl=TTL, size=9)
        await store.put("d1", "s1")
        await store.put("d2", "s2")
        await store.claim("d2")
        await store.put("d3", "s3")
        await store.put("d3", "s4")
        keys = await redis.keys("oaicompat:session:*")
        assert len(keys) == 3
        assert all([TTL - 5 < await redis.ttl(key) <= TTL for key in keys])


async def test_an_expired_session_is_not_taken_again(redis_server: RedisServer, clock: Clock) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        store = RedisStore(redis, ttl=TTL, size=9)
        await store.put("d1", "s1")
        clock.now += TTL + 1
        assert await store.expire() == ["s1"]
        assert await redis.exists("oaicompat:session:d1")
        assert await store.claim("d1") is None


async def test_without_redis_every_method_says_so(own_redis: RedisServer) -> None:
    async with redis_client.connect(own_redis.url) as redis:
        store = RedisStore(redis, ttl=TTL, size=9)
        own_redis.stop()
        for call in (store.put("d1", "s1"), store.claim("d1"), store.expire()):
            with pytest.raises(StoreUnavailable):
                await call
        assert await store.clear() == []


async def test_under_a_clients_own_name_the_newer_session_takes_the_place(stores: list[SessionStore]) -> None:
    """Both have answered the same to the same client, so either may go on; the older one is closed."""
    here, there = stores
    assert await here.put("d1", "s1", named=True) == []
    assert await there.put("d1", "s2", named=True) == ["s1"]
    assert await here.count() == 1
    assert await here.put("d1", "s2", named=True) == []
    assert await here.claim("d1") == "s2"
    assert await there.put("d1", "s3", named=True) == [], "what was taken goes on elsewhere"
    assert await here.claim("d1") == "s3"


async def test_named_sessions_give_way_like_all_others(stores: list[SessionStore]) -> None:
    here, _ = stores
    unwanted = [await here.put(f"d{number}", f"s{number}", named=True) for number in range(5)]
    assert unwanted == [[], [], [], ["s0"], ["s1"]]


async def test_foreign_bytes_fail_no_run_and_no_other_session_is_lost(redis_server: RedisServer, clock: Clock) -> None:
    async with redis_client.connect(redis_server.url) as redis:
        store = RedisStore(redis, "foreign", ttl=TTL, size=3)
        await store.put("d1", "s1")
        await redis.zadd("oaicompat:sessionsforeign", {b"\xff\xfe": 0})
        await redis.set("oaicompat:session:foreignd2", b"=\xff")
        await redis.set("oaicompat:session:foreign\udcff".encode("utf-8", "surrogateescape"), b"=s3")
        assert await store.claim("d2") is None
        clock.now += TTL + 1
        assert sorted(await store.put("d3", "s4")) == ["\\xff\\xfe", "s1"]
        assert "s4" in await store.find_owned("")
