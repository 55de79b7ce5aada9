"""The lock of a session: the same in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from fronts import RedisServer

from oaicompat_proxy.errors import SessionBusy, SessionsUnavailable
from oaicompat_proxy.web import redis_client, session_locks
from oaicompat_proxy.web.session_locks import MemoryLocks, RedisLocks, SessionLocks

pytest_plugins = ["front_fixtures"]

LONG = 10.0


@pytest.fixture(params=["memory", "redis"])
async def locks(request: pytest.FixtureRequest) -> AsyncIterator[list[SessionLocks]]:
    """As two workers see them; one process has only one."""
    if request.param == "memory":
        one = MemoryLocks()
        yield [one, one]
        assert one._locks == {}, "nothing is remembered of locks that nobody holds"
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_client.connect(server.url) as here, redis_client.connect(server.url) as there:
        yield [RedisLocks(here), RedisLocks(there)]
        assert await here.keys("*") == [], "nothing is remembered of locks that nobody holds"


async def test_a_free_lock_is_had_at_once_without_waiting(locks: list[SessionLocks]) -> None:
    for _ in range(3):
        release = await locks[0].acquire("s1", wait=0)
        await release()


@pytest.mark.parametrize("wait", [0, 0.05])
async def test_a_lock_that_is_held_is_busy_after_the_wait(locks: list[SessionLocks], wait: float) -> None:
    here, there = locks
    release = await here.acquire("s1", wait=LONG)
    began = time.monotonic()
    for each in (there, here):
        with pytest.raises(SessionBusy):
            await each.acquire("s1", wait=wait)
    assert time.monotonic() - began < 1
    await release()
    await (await there.acquire("s1", wait=0))()


async def test_who_waits_gets_the_lock_when_it_is_free(locks: list[SessionLocks]) -> None:
    here, there = locks
    release = await here.acquire("s1", wait=LONG)
    waiting = asyncio.create_task(there.acquire("s1", wait=LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    await release()
    await (await waiting)()


async def test_another_sessions_lock_is_another(locks: list[SessionLocks]) -> None:
    releases = [await locks[number % 2].acquire(f"s{number}", wait=0) for number in range(5)]
    for release in releases:
        await release()


async def test_never_two_hold_it(locks: list[SessionLocks]) -> None:
    holding = 0
    most = 0

    async def use(each: SessionLocks) -> None:
        nonlocal holding, most
        release = await each.acquire("s1", wait=LONG)
        holding += 1
        most = max(most, holding)
        await asyncio.sleep(0)
        holding -= 1
        await release()

    await asyncio.gather(*(use(each) for each in locks * 4))
    assert most == 1


async def test_one_who_gives_up_waiting_keeps_nobody_from_it(locks: list[SessionLocks]) -> None:
    here, there = locks
    release = await here.acquire("s1", wait=LONG)
    impatient = asyncio.create_task(there.acquire("s1", wait=LONG))
    patient = asyncio.create_task(here.acquire("s1", wait=LONG))
    await asyncio.sleep(0.02)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await release()
    await (await patient)()


# In Redis


async def test_one_who_gives_up_while_redis_gives_it_the_lock_gives_it_back(own_redis: RedisServer) -> None:
    """The question is on its way when the asker leaves, and the answer would be yes."""
    async with redis_client.connect(own_redis.url) as redis:
        locks = RedisLocks(redis)
        await (await locks.acquire("s1", wait=0))()
        own_redis.signal(signal.SIGSTOP)
        acquiring = asyncio.create_task(locks.acquire("s1", wait=LONG))
        await asyncio.sleep(0.05)
        acquiring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acquiring
        own_redis.signal(signal.SIGCONT)
        await (await locks.acquire("s1", wait=2))()


async def test_a_lock_is_held_for_as_long_as_its_holder_lives(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "REDIS_LEASE", 1.5)  # long enough for a renewal on a busy machine
    async with redis_client.connect(redis_server.url) as redis:
        locks = RedisLocks(redis)
        release = await locks.acquire("s1", wait=0)
        with pytest.raises(SessionBusy):
            await locks.acquire("s1", wait=2)
        await release()
        await (await locks.acquire("s1", wait=0))()


async def test_the_lock_of_a_worker_that_died_is_free_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "REDIS_LEASE", 0.3)
    async with redis_client.connect(redis_server.url) as redis:
        locks = RedisLocks(redis)
        release = await locks.acquire("s1", wait=0)
        (renewing,) = (task for task in asyncio.all_tasks() if task.get_name() == "renew session lock")
        renewing.cancel()
        other = await locks.acquire("s1", wait=2)
        await release()
        with pytest.raises(SessionBusy):
            await locks.acquire("s1", wait=0)
        await other()


async def test_a_lock_outlives_a_pause_of_redis(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_locks, "REDIS_LEASE", 0.9)
    monkeypatch.setattr(redis_client, "PATIENCE", 0.05)
    async with redis_client.connect(own_redis.url) as redis:
        locks = RedisLocks(redis)
        release = await locks.acquire("s1", wait=0)
        own_redis.signal(signal.SIGSTOP)
        await asyncio.sleep(0.45)  # in which one renewal fails
        own_redis.signal(signal.SIGCONT)
        with pytest.raises(SessionBusy):
            await locks.acquire("s1", wait=2)
        await release()


async def test_without_redis_nobody_gets_a_lock(own_redis: RedisServer) -> None:
    async with redis_client.connect(own_redis.url) as redis:
        own_redis.stop()
        with pytest.raises(SessionsUnavailable):
            await RedisLocks(redis).acquire("s1", wait=LONG)


async def test_giving_back_a_lock_is_no_error_when_redis_is_gone(own_redis: RedisServer) -> None:
    async with redis_client.connect(own_redis.url) as redis:
        release = await RedisLocks(redis).acquire("s1", wait=0)
        own_redis.stop()
        await release()
