"""Counts of usage: the same in memory and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.budget import periods_at
from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.access.usage_store import Check, Count, MemoryUsage, RedisUsage, Subject, UsageStore
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

PERIODS = DAY, MONTH = periods_at(1_800_000_000)
NEXT_DAY = periods_at(1_800_000_000 + 24 * 3600)
ADA, BOB, EVE = Subject("app", "ada"), Subject("app", "bob"), Subject("app", "eve\n\0é")
APP = Subject("app")
OTHERS = Subject("app", None)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[UsageStore]:
    """With room for three subjects."""
    if request.param == "memory":
        yield MemoryUsage(max_subjects=3)
        return
    async with connect(request.getfixturevalue("redis_server").url) as redis:
        yield RedisUsage(redis, max_subjects=3)


async def test_a_run_and_its_tokens_are_counted_in_both_periods(store: UsageStore) -> None:
    assert await store.begin([], [APP, ADA], PERIODS) == (-1, [])
    await store.add([APP, ADA], PERIODS, Count(tokens=70))
    for period in PERIODS:
        assert await store.counts(period) == {APP: Count(70, 1), ADA: Count(70, 1)}
    assert await store.counts(NEXT_DAY[0]) == {}


async def test_a_run_that_did_not_begin_is_taken_back(store: UsageStore) -> None:
    await store.begin([], [APP], PERIODS)
    await store.add([APP], PERIODS, Count(runs=-1))
    assert (await store.counts(DAY))[APP] == Count(0, 0)


async def test_the_first_limit_that_is_reached_is_named_and_nothing_counts(store: UsageStore) -> None:
    await store.add([APP, ADA], PERIODS, Count(tokens=50, runs=2))
    checks = [Check(DAY, "tokens", APP, 51), Check(DAY, "runs", ADA, 2), Check(MONTH, "tokens", APP, 10)]
    assert await store.begin(checks, [APP, ADA], PERIODS) == (1, [50, 2, 50])
    assert (await store.counts(DAY))[APP].runs == 2
    assert await store.begin(checks[:1], [APP, ADA], PERIODS) == (-1, [50])
    pending = checks[0]._replace(pending=1)
    assert (await store.begin([pending], [APP], PERIODS))[0] == 0


async def test_of_many_requests_at_once_as_many_begin_as_may(store: UsageStore) -> None:
    check = Check(DAY, "runs", APP, 5)
    begun = await asyncio.gather(*(store.begin([check], [APP], PERIODS) for _ in range(20)))
    assert sum(refused < 0 for refused, _ in begun) == 5


async def test_users_beyond_the_bound_count_together(store: UsageStore) -> None:
    for subject in (ADA, BOB, EVE, *(Subject("app", f"user-{number}") for number in range(9))):
        await store.add([APP, subject], PERIODS, Count(tokens=1, runs=1))
    counts = await store.counts(DAY)
    assert len(counts) <= 5
    assert counts[APP] == Count(12, 12)
    assert sum(count.tokens for subject, count in counts.items() if subject != APP) == 12
    assert counts[OTHERS].tokens >= 9
    assert await store.begin([Check(DAY, "tokens", Subject("app", "new"), 9)], [], PERIODS) == (
        0,
        [counts[OTHERS].tokens],
    )


async def test_memory_forgets_days_that_are_over() -> None:
    store = MemoryUsage()
    for number in range(9):
        await store.add([APP], periods_at(1_800_000_000 + number * 24 * 3600), Count(tokens=1))
    assert await store.counts(DAY) == {}
    assert await store.counts(periods_at(1_800_000_000 + 7 * 24 * 3600)[0]) != {}


@pytest.mark.parametrize("first", [1_800_000_000, 1_795_996_800])  # in a month, and at the turn of one
async def test_a_run_that_ends_days_later_costs_no_counts(store: UsageStore, first: int) -> None:
    began = periods_at(first)
    for number in range(1, 6):
        await store.add([APP], periods_at(first + number * 24 * 3600), Count(tokens=10))
        await store.add([APP], began, Count(tokens=1))
    today, month = periods_at(first + 5 * 24 * 3600)
    assert (await store.counts(today))[APP].tokens == 10
    assert (await store.counts(month))[APP].tokens == (55 if month == began[1] else 50)


async def test_redis_forgets_them_by_itself(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as redis:
        await RedisUsage(redis).add([APP], PERIODS, Count(tokens=1))
        for key in redis_server.keys("oaicompat:usage:*"):
            assert await redis.ttl(key) > 24 * 3600


async def test_a_redis_that_is_gone_is_an_error(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        own_redis.stop()
        with pytest.raises(StoreUnavailable):
            await RedisUsage(redis).begin([], [APP], PERIODS)


async def test_counts_of_a_foreign_program_are_left_out(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        usage = RedisUsage(redis)
        await usage.add([ADA], [DAY], Count(tokens=1, runs=-1))
        foreign = {
            b"t\xff": b"1",
            b"t5": b"1",
            b't["a"]': b"1",
            b"t[1, 2]": b"1",
            b't["app", "bob"]': b"many",
            b"": b"",
        }
        await redis.hset(f"oaicompat:usage:{DAY.name}", mapping=foreign)
        assert await usage.counts(DAY) == {ADA: Count(1, -1)}
