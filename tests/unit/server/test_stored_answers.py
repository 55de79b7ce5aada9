import pytest

from oaicompat_proxy.core.errors import InvalidRequest, SessionsUnavailable
from oaicompat_proxy.server.redis import connect
from oaicompat_proxy.server.shared_table import SharedTable
from oaicompat_proxy.server.stored_answers import MemoryAnswers, NoAnswers, RedisAnswers
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

LONG = bytes(range(256)) * 500


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
        here, there = (RedisAnswers(redis, SharedTable(slots=16, slot_size=1024)) for _ in range(2))
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
        answers = RedisAnswers(redis)
        await answers.add("alice", {"k": b"x"})
        assert await answers.find("alice", ["k"], most=10) == {"k": b"x"}
        with pytest.raises(SessionsUnavailable):
            await answers.find("alice", ["l"], most=10)
    finally:
        await redis.aclose()
