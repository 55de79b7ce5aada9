import asyncio

import pytest

from oaicompat_proxy.core.errors import InvalidRequest, NotFound, SessionsUnavailable
from oaicompat_proxy.server.ledgers import Ledgers
from oaicompat_proxy.server.redis import connect
from oaicompat_proxy.server.shared_table import SharedTable
from oaicompat_proxy.server.stored_answers import MemoryAnswers, NoAnswers, RedisAnswers
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

LONG = bytes(range(256)) * 500


def small_memory(*, slots: int = 64, most: int = 100, most_bytes: int = 1 << 20) -> MemoryAnswers:
    return MemoryAnswers(
        SharedTable(slots=slots, slot_size=1024, candidates=8), Ledgers(callers=16, most=most, most_bytes=most_bytes)
    )


async def test_entries_are_found_by_their_caller_alone() -> None:
    answers = MemoryAnswers()
    await answers.add("alice", {"a": b"short", "b": LONG, "c": b""})
    found = await answers.find("alice", ["a", "b", "c", "d"], most=1_000_000)
    assert found == {"a": b"short", "b": LONG, "c": b""}
    assert await answers.find("bob", ["a", "b"], most=1_000_000) == {}


async def test_other_processes_find_them() -> None:
    await MemoryAnswers().add("alice", {"e": LONG})
    assert await MemoryAnswers().find("alice", ["e"], most=len(LONG)) == {"e": LONG}


async def test_what_is_referred_to_is_bounded() -> None:
    answers = MemoryAnswers()
    await answers.add("alice", {"f": LONG, "g": LONG})
    with pytest.raises(InvalidRequest):
        await answers.find("alice", ["f"], most=len(LONG) - 1)
    with pytest.raises(InvalidRequest):
        await answers.find("alice", ["f", "g"], most=2 * len(LONG) - 1)


async def test_nothing_is_stored_where_it_is_not_wanted() -> None:
    await NoAnswers().add("alice", {"h": b"x"})
    assert await NoAnswers().find("alice", ["h"], most=10) == {}


async def test_many_entries_leave_room_for_the_newest() -> None:
    answers = MemoryAnswers()
    for number in range(6000):
        await answers.add("alice", {f"many {number}": b"x"})
    assert await answers.find("alice", ["many 5999"], most=10) == {"many 5999": b"x"}


async def test_replicas_share_them_in_redis(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        here, there = (RedisAnswers(redis, small_memory()) for _ in range(2))
        await here.add("alice", {"i": LONG})
        assert await there.find("alice", ["i", "j"], most=len(LONG)) == {"i": LONG}
        with pytest.raises(InvalidRequest):
            await there.find("alice", ["i"], most=len(LONG) - 1)
    finally:
        await redis.aclose()


async def test_without_redis_an_answer_is_known_here_alone(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        own_redis.stop()
        answers = RedisAnswers(redis, small_memory())
        await answers.add("alice", {"k": b"x"})
        assert await answers.find("alice", ["k"], most=10) == {"k": b"x"}
        with pytest.raises(SessionsUnavailable):
            await answers.find("alice", ["l"], most=10)
    finally:
        await redis.aclose()


# Bounds, for each caller


async def test_a_caller_has_so_many_entries_in_memory_and_its_newest_ones() -> None:
    answers = small_memory(most=10)
    for number in range(30):
        await answers.add("alice", {str(number): b"x"})
    found = await answers.find("alice", map(str, range(30)), most=1000)
    assert sorted(map(int, found)) == [*range(20, 30)]


async def test_a_caller_has_so_many_bytes_in_memory() -> None:
    answers = small_memory(slots=1024, most_bytes=10_000)
    for number in range(30):
        await answers.add("alice", {str(number): b"x" * 2000})
    found = await answers.find("alice", map(str, range(30)), most=1 << 20)
    assert sorted(map(int, found)) == [*range(25, 30)]


async def test_a_caller_cannot_push_out_what_another_one_has_in_memory() -> None:
    """Not by many entries, not by large ones, not by the same one again and again."""
    answers = MemoryAnswers(
        SharedTable(slots=512, slot_size=1024, candidates=16), Ledgers(callers=16, most=100, most_bytes=60_000)
    )
    await answers.add("alice", {str(number): b"hers" * 100 for number in range(20)})
    for number in range(3000):
        await answers.add("mallory", {f"small {number}": b"x"})
    for number in range(300):
        await answers.add("mallory", {f"large {number}": LONG[:20_000], "again": b"y" * number})
    assert len(await answers.find("alice", map(str, range(20)), most=1 << 20)) == 20


async def test_an_entry_that_is_replaced_or_deleted_counts_no_more() -> None:
    answers = small_memory(slots=1024, most_bytes=10_000)
    await answers.add("alice", {"kept": b"k" * 4000})
    for _ in range(10):
        await answers.add("alice", {"replaced": b"r" * 4000})
        await answers.add("alice", {"deleted": b"d" * 2000})
        await answers.delete("alice", ["deleted"])
    assert sorted(await answers.find("alice", ["kept", "replaced", "deleted"], most=1 << 20)) == ["kept", "replaced"]


async def test_what_is_too_old_is_gone() -> None:
    answers = small_memory()
    await answers.add("alice", {"m": b"x"}, ttl=-1.0)
    assert await answers.find("alice", ["m"], most=10) == {}


async def test_a_caller_has_so_many_entries_and_bytes_in_redis(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        few = RedisAnswers(redis, small_memory(), most=10)
        small = RedisAnswers(redis, small_memory(), most_bytes=10_000)
        await few.add("alice", {"hers": b"x"})
        for number in range(30):
            await few.add("bob", {str(number): b"x"})
            await small.add("carol", {str(number): b"x" * 2000})
        names = [*map(str, range(30))]
        assert sorted(map(int, await few.find("bob", names, most=1000))) == [*range(20, 30)]
        assert sorted(map(int, await small.find("carol", names, most=1 << 20))) == [*range(25, 30)]
        assert await few.find("alice", ["hers"], most=10) == {"hers": b"x"}
    finally:
        await redis.aclose()


async def test_redis_has_so_many_entries_of_all_callers(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        answers = RedisAnswers(redis, small_memory(), most_of_all=10)
        for number in range(30):
            await answers.add(f"caller {number}", {"n": b"x"})
        found = [bool(await answers.find(f"caller {number}", ["n"], most=10)) for number in range(30)]
        assert found == [False] * 20 + [True] * 10
    finally:
        await redis.aclose()


async def test_redis_forgets_its_entries_and_their_counts_by_age(own_redis: RedisServer) -> None:
    redis = connect(own_redis.url)
    try:
        answers = RedisAnswers(redis, small_memory())
        await answers.add("alice", {"o": b"x"}, ttl=0.05)
        async with asyncio.timeout(10):
            while await redis.keys("oaicompat:answer:*"):  # noqa: ASYNC110 -- Redis has no event for it
                await asyncio.sleep(0.01)
        assert await answers.find("alice", ["o"], most=10) == {}
    finally:
        await redis.aclose()


async def test_what_one_replica_deletes_no_other_finds(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        here, there = (RedisAnswers(redis, small_memory()) for _ in range(2))
        await here.add("alice", {"p": b"x", "q": b"y"})
        await there.delete("alice", ["p"])
        assert await here.find("alice", ["p", "q"], most=10) == {"q": b"y"}
        await there.delete("bob", ["q"])
        assert await here.find("alice", ["q"], most=10) == {"q": b"y"}
    finally:
        await redis.aclose()


async def test_many_names_are_asked_for_together(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        answers = RedisAnswers(redis, small_memory())
        await answers.add("alice", {str(number): b"x" for number in range(100)})
        before = (await redis.info("stats"))["total_commands_processed"]
        assert len(await answers.find("alice", map(str, range(1000)), most=1000)) == 100
        assert (await redis.info("stats"))["total_commands_processed"] - before < 100
    finally:
        await redis.aclose()


# Entries that several requests change


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_an_entry_is_replaced_if_it_is_what_was_read(redis_server: RedisServer, kind: str) -> None:
    redis = connect(redis_server.url)
    try:
        answers = small_memory() if kind == "memory" else RedisAnswers(redis, small_memory())
        assert await answers.replace("alice", "a", None, b"1")
        assert not await answers.replace("alice", "a", None, b"2")
        assert not await answers.replace("alice", "a", b"0", b"2")
        assert await answers.replace("alice", "a", b"1", LONG[:3000])
        assert not await answers.replace("bob", "a", b"1", b"2")
        assert await answers.find("alice", ["a"], most=5000) == {"a": LONG[:3000]}
        await answers.delete("alice", ["a"])
        assert not await answers.replace("alice", "a", LONG[:3000], b"2")
        assert await answers.find("alice", ["a"], most=5000) == {}
    finally:
        await redis.aclose()


async def test_nothing_is_replaced_where_nothing_is_stored(own_redis: RedisServer) -> None:
    with pytest.raises(NotFound):
        await NoAnswers().replace("alice", "a", None, b"1")
    redis = connect(own_redis.url)
    try:
        own_redis.stop()
        with pytest.raises(SessionsUnavailable):
            await RedisAnswers(redis, small_memory()).replace("alice", "a", None, b"1")
    finally:
        await redis.aclose()


async def test_replaced_entries_are_bounded_as_others_are(redis_server: RedisServer) -> None:
    redis = connect(redis_server.url)
    try:
        for answers in (small_memory(most=5), RedisAnswers(redis, small_memory(), most=5)):
            for number in range(9):
                assert await answers.replace("alice", str(number), None, b"x")
            assert await answers.count("alice") == 5
            assert await answers.delete_all("alice") == 5
            assert await answers.count("alice") == 0
    finally:
        await redis.aclose()
