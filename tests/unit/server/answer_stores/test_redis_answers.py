from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.core.errors import InvalidRequest, NotFound, StoreUnavailable
from oaicompat_proxy.server.answer_stores.redis_answers import RedisAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds, NoAnswers
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer
from tests.support.stored_answers import LONG, MANY, SHORT_LIVED, small_memory

pytest_plugins = ["tests.support.proxy_fixtures"]


async def test_replicas_share_them_in_redis(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        here, there = (RedisAnswers(redis, MANY, small_memory()) for _ in range(2))
        await here.add("alice", {"i": LONG})
        assert await there.find("alice", ["i", "j"], max_bytes=len(LONG)) == {"i": LONG}
        with pytest.raises(InvalidRequest):
            await there.find("alice", ["i"], max_bytes=len(LONG) - 1)
    finally:
        await redis.aclose()


async def test_without_redis_an_answer_is_known_here_alone(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        own_redis.stop()
        answers = RedisAnswers(redis, MANY, small_memory())
        await answers.add("alice", {"k": b"x"})
        assert await answers.find("alice", ["k"], max_bytes=10) == {"k": b"x"}
        with pytest.raises(StoreUnavailable):
            await answers.find("alice", ["l"], max_bytes=10)
    finally:
        await redis.aclose()


async def test_what_redis_takes_after_an_outage_is_newer(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        answers = RedisAnswers(redis, MANY, small_memory())
        own_redis.stop()
        await answers.add("alice", {"k": b"queued", "l": b"1"})
        own_redis.start()
        await answers.add("alice", {"k": b"completed"})
        assert await answers.find("alice", ["k"], max_bytes=10) == {"k": b"completed"}
        assert await answers.replace("alice", "l", b"1", b"2")
        assert await answers.find("alice", ["l"], max_bytes=10) == {"l": b"2"}
    finally:
        await redis.aclose()


async def test_entries_end_where_the_settings_say(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        for answers in (small_memory(ttl=SHORT_LIVED.ttl), RedisAnswers(redis, SHORT_LIVED, small_memory())):
            await answers.add("alice", {"brief": b"x"})
            assert await answers.replace("alice", "changed", None, b"x")
            assert set(await answers.find("alice", ["brief", "changed"], max_bytes=10)) == {"brief", "changed"}
            await asyncio.sleep(SHORT_LIVED.ttl)
            assert await answers.find("alice", ["brief", "changed"], max_bytes=10) == {}
    finally:
        await redis.aclose()


async def test_a_caller_has_so_many_entries_and_bytes_in_redis(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        few = RedisAnswers(redis, Bounds(5, 60), small_memory())
        small = RedisAnswers(redis, MANY, small_memory(), max_bytes=10_100)
        await few.add("alice", {"hers": b"x"})
        for number in range(30):
            await few.add("bob", {str(number): b"x"})
            await small.add("carol", {str(number): b"x" * 2000})
        names = [*map(str, range(30))]
        assert sorted(map(int, await few.find("bob", names, max_bytes=1000))) == [*range(20, 30)]
        assert sorted(map(int, await small.find("carol", names, max_bytes=1 << 20))) == [*range(25, 30)]
        assert await few.find("alice", ["hers"], max_bytes=10) == {"hers": b"x"}
    finally:
        await redis.aclose()


async def test_redis_has_so_many_entries_of_all_callers(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        answers = RedisAnswers(redis, MANY, small_memory(), most_of_all=10)
        for number in range(30):
            await answers.add(f"caller {number}", {"n": b"x"})
        found = [bool(await answers.find(f"caller {number}", ["n"], max_bytes=10)) for number in range(30)]
        assert found == [False] * 20 + [True] * 10
    finally:
        await redis.aclose()


async def test_redis_forgets_its_entries_and_their_counts_by_age(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        answers = RedisAnswers(redis, MANY, small_memory())
        await answers.add("alice", {"o": b"x"}, ttl=0.05)
        async with asyncio.timeout(10):
            while await redis.keys("oaicompat:answer:*"):  # noqa: ASYNC110 -- Redis has no event for it
                await asyncio.sleep(0.01)
        assert await answers.find("alice", ["o"], max_bytes=10) == {}
    finally:
        await redis.aclose()


async def test_what_one_replica_deletes_no_other_finds(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        here, there = (RedisAnswers(redis, MANY, small_memory()) for _ in range(2))
        await here.add("alice", {"p": b"x", "q": b"y"})
        await there.delete("alice", ["p"])
        assert await here.find("alice", ["p", "q"], max_bytes=10) == {"q": b"y"}
        await there.delete("bob", ["q"])
        assert await here.find("alice", ["q"], max_bytes=10) == {"q": b"y"}
    finally:
        await redis.aclose()


async def test_many_names_are_asked_for_together(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        answers = RedisAnswers(redis, MANY, small_memory())
        await answers.add("alice", {str(number): b"x" for number in range(100)})
        before = (await redis.info("stats"))["total_commands_processed"]
        assert len(await answers.find("alice", map(str, range(1000)), max_bytes=1000)) == 100
        assert (await redis.info("stats"))["total_commands_processed"] - before < 100
    finally:
        await redis.aclose()


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_an_entry_is_replaced_if_it_is_what_was_read(redis_server: RedisServer, kind: str) -> None:
    redis = connect(redis_server.url)
    try:
        answers = small_memory() if kind == "memory" else RedisAnswers(redis, MANY, small_memory())
        assert await answers.replace("alice", "a", None, b"1")
        assert not await answers.replace("alice", "a", None, b"2")
        assert not await answers.replace("alice", "a", b"0", b"2")
        assert await answers.replace("alice", "a", b"1", LONG[:3000])
        assert not await answers.replace("bob", "a", b"1", b"2")
        assert await answers.find("alice", ["a"], max_bytes=5000) == {"a": LONG[:3000]}
        await answers.delete("alice", ["a"])
        assert not await answers.replace("alice", "a", LONG[:3000], b"2")
        assert await answers.find("alice", ["a"], max_bytes=5000) == {}
    finally:
        await redis.aclose()


async def test_nothing_is_replaced_where_nothing_is_stored(own_redis: RedisServer) -> None:
    with pytest.raises(NotFound):
        await NoAnswers().replace("alice", "a", None, b"1")
    redis = connect(own_redis.url)
    try:
        own_redis.stop()
        with pytest.raises(StoreUnavailable):
            await RedisAnswers(redis, MANY, small_memory()).replace("alice", "a", None, b"1")
    finally:
        await redis.aclose()


async def test_replaced_entries_are_bounded_as_others_are(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        for answers in (small_memory(answers=3), RedisAnswers(redis, Bounds(3, 60), small_memory())):
            for number in range(9):
                assert await answers.replace("alice", str(number), None, b"x")
            assert await answers.count("alice") == 6
            assert await answers.delete_all("alice") == 6
            assert await answers.count("alice") == 0
    finally:
        await redis.aclose()


async def test_what_is_stored_without_redis_gives_way_to_what_is_stored_later(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        own_redis.stop()
        answers = RedisAnswers(redis, MANY, small_memory())
        await answers.add("alice", {"k": b"queued"})
        own_redis.start()
        await answers.add("alice", {"k": b"completed"})
        assert await answers.find("alice", ["k"], max_bytes=10) == {"k": b"completed"}
        assert await answers.count("alice") == 1
