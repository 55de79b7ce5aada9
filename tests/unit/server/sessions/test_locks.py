"""The lock of a session: the same in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.errors import SessionBusy
from oaicompat_proxy.server.sessions.locks import MemoryLocks, ReleaseLock, SessionLocks
from oaicompat_proxy.server.sessions.redis_locks import RedisLocks
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

LONG = 10.0


@pytest.fixture(params=["memory", "redis"])
async def locks(request: pytest.FixtureRequest) -> AsyncIterator[list[SessionLocks]]:
    """As two workers see them; one process has only one."""
    if request.param == "memory":
        one = MemoryLocks()
        yield [one, one]
        assert one.held == 0, "nothing is remembered of locks that nobody holds"
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_client.connect(server.url) as here, redis_client.connect(server.url) as there:
        both: list[SessionLocks] = [RedisLocks(here), RedisLocks(there)]
        yield both
        for each in both:
            await each.close()
        assert await here.keys("oaicompat:lock:*") == [], "nothing is remembered of locks that nobody holds"


def never_lost() -> None:
    raise AssertionError("the lock was lost")


async def get(locks: SessionLocks, key: str = "s1", *, wait: float = 0) -> ReleaseLock:
    return await locks.acquire(key, wait=wait, on_lost=never_lost)


async def test_a_free_lock_is_had_at_once_without_waiting(locks: list[SessionLocks]) -> None:
    for _ in range(3):
        release = await get(locks[0], "s1", wait=0)
        await release()


@pytest.mark.parametrize("wait", [0, 0.05])
async def test_a_lock_that_is_held_is_busy_after_the_wait(locks: list[SessionLocks], wait: float) -> None:
    here, there = locks
    release = await get(here, "s1", wait=LONG)
    began = time.monotonic()
    for each in (there, here):
        with pytest.raises(SessionBusy):
            await get(each, "s1", wait=wait)
    assert time.monotonic() - began < 1
    await release()
    await (await get(there, "s1", wait=0))()


async def test_who_waits_gets_the_lock_when_it_is_free(locks: list[SessionLocks]) -> None:
    here, there = locks
    release = await get(here, "s1", wait=LONG)
    waiting = asyncio.create_task(get(there, "s1", wait=LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    await release()
    await (await waiting)()


async def test_another_sessions_lock_is_another(locks: list[SessionLocks]) -> None:
    releases = [await get(locks[number % 2], f"s{number}", wait=0) for number in range(5)]
    for release in releases:
        await release()


async def test_never_two_hold_it(locks: list[SessionLocks]) -> None:
    holding = 0
    most = 0

    async def use(each: SessionLocks) -> None:
        nonlocal holding, most
        release = await get(each, "s1", wait=LONG)
        holding += 1
        most = max(most, holding)
        await asyncio.sleep(0)
        holding -= 1
        await release()

    await asyncio.gather(*(use(each) for each in locks * 4))
    assert most == 1


@pytest.mark.slow
async def test_one_who_gives_up_waiting_keeps_nobody_from_it(locks: list[SessionLocks]) -> None:
    here, there = locks
    release = await get(here, "s1", wait=LONG)
    impatient = asyncio.create_task(get(there, "s1", wait=LONG))
    patient = asyncio.create_task(get(here, "s1", wait=LONG))
    await asyncio.sleep(0.02)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await release()
    await (await patient)()
