"""The lock of a session in a real Redis: two requests never hold it, through every failure of Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from oaicompat_proxy.core.errors import SessionBusy, StoreUnavailable
from oaicompat_proxy.server.sessions import redis_locks
from oaicompat_proxy.server.sessions.locks import ReleaseLock
from oaicompat_proxy.server.sessions.redis_locks import RedisLocks
from oaicompat_proxy.server.shared_storage import redis_client
from oaicompat_proxy.server.shared_storage.bounded_redis import BoundedRedis
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]
pytestmark = pytest.mark.slow

LONG = 20.0


@dataclass
class Worker:
    """A process that shares the Redis, as far as locks go."""

    redis: BoundedRedis
    locks: RedisLocks
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, key: str = "s1", *, wait: float = 0, is_new: bool = False) -> ReleaseLock:
        return await self.locks.acquire(key, wait=wait, on_lost=self.lost.set, is_new=is_new)

    async def is_refused(self, key: str = "s1", *, wait: float = 0) -> bool:
        try:
            await (await self.get(key, wait=wait))()
        except SessionBusy:
            return True
        return False


@pytest.fixture
async def workers(own_redis: RedisServer) -> AsyncIterator[list[Worker]]:
    """Both have met Redis."""
    async with redis_client.connect(own_redis.url) as here, redis_client.connect(own_redis.url) as there:
        both = [Worker(each, RedisLocks(each)) for each in (here, there)]
        for each in both:
            await (await each.get("their first"))()
        yield both
        for each in both:
            await each.locks.close()


async def until_met(worker: Worker) -> None:
    """Redis answers again."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                await worker.get("anything", is_new=True)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


def flush(server: RedisServer) -> None:
    server.flush()


def restart(server: RedisServer) -> None:
    server.stop()
    server.start()


@pytest.mark.parametrize("lose", [flush, restart])
async def test_a_redis_that_lost_its_data_gives_no_lock_to_another(
    workers: list[Worker], own_redis: RedisServer, lose: object
) -> None:
    """Its holder takes it anew, before anybody else can get it."""
    assert callable(lose)
    here, there = workers
    release = await here.get()
    lose(own_redis)
    assert await there.is_refused(wait=redis_locks.GRACE + 2 * redis_locks.RENEWAL_INTERVAL)
    assert not here.lost.is_set()
    await release()
    await (await there.get(wait=LONG))()


async def test_after_a_loss_a_lock_that_nobody_held_is_free_again_soon(
    workers: list[Worker], own_redis: RedisServer
) -> None:
    here, there = workers
    flush(own_redis)
    began = time.monotonic()
    await (await there.get(wait=LONG))()
    assert time.monotonic() - began < redis_locks.GRACE + 5
    await (await here.get("new", is_new=True))()


async def test_after_a_loss_a_key_that_nobody_else_knows_is_had_at_once(
    workers: list[Worker], own_redis: RedisServer
) -> None:
    flush(own_redis)
    await (await workers[0].get("new", is_new=True))()


async def test_a_new_redis_makes_nobody_wait(own_redis: RedisServer) -> None:
    async with redis_client.connect(own_redis.url) as redis:
        worker = Worker(redis, RedisLocks(redis))
        began = time.monotonic()
        await (await worker.get())()
        assert time.monotonic() - began < 1
        await worker.locks.close()


async def test_a_lock_outlives_a_redis_that_stands_still(
    workers: list[Worker], own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same proportion: for 34 s, where a lock lasts for 45 s without being renewed."""
    monkeypatch.setattr(redis_locks, "LOCK_TTL", 9.0)
    monkeypatch.setattr(redis_locks, "SAFETY_MARGIN", 1.0)
    here, there = workers
    release = await here.get()
    own_redis.signal(signal.SIGSTOP)
    waiting = [asyncio.create_task(there.get()) for _ in range(3)]
    await asyncio.sleep(4)
    own_redis.signal(signal.SIGCONT)
    assert all(isinstance(each, StoreUnavailable) for each in await asyncio.gather(*waiting, return_exceptions=True))
    await until_met(there)
    assert await there.is_refused(wait=5)
    assert not here.lost.is_set()
    await release()
    await (await there.get(wait=LONG))()


async def test_a_holder_is_notified_before_its_lock_can_expire(
    workers: list[Worker], own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_locks, "LOCK_TTL", 6.0)
    monkeypatch.setattr(redis_locks, "SAFETY_MARGIN", 3.0)
    here, there = workers
    release = await here.get()
    taken = time.monotonic()
    own_redis.signal(signal.SIGSTOP)
    async with asyncio.timeout(LONG):
        await here.lost.wait()
    assert time.monotonic() - taken < 6, "a lock that expires is nobody's"
    own_redis.signal(signal.SIGCONT)
    await release()
    await until_met(there)
    await (await there.get(wait=LONG))()


async def test_a_holder_whose_lock_somebody_else_has_is_notified(workers: list[Worker]) -> None:
    here, there = workers
    release = await here.get()
    await there.redis.set("oaicompat:lock:s1", "somebody else's")
    async with asyncio.timeout(LONG):
        await here.lost.wait()
    await release()
    assert await there.redis.get("oaicompat:lock:s1") == b"somebody else's", "it is not ours to give back"


async def test_the_lock_of_a_process_that_died_is_free_again(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_locks, "LOCK_TTL", 1.5)
    here, there = workers
    release = await here.get()
    await here.locks.close()
    await (await there.get(wait=LONG))()
    await release()


async def test_one_who_gives_up_while_redis_gives_it_the_lock_gives_it_back(
    workers: list[Worker], own_redis: RedisServer
) -> None:
    """The question is on its way when the asker leaves, and the answer would be yes."""
    here, there = workers
    own_redis.signal(signal.SIGSTOP)
    acquiring = asyncio.create_task(here.get(wait=LONG))
    await asyncio.sleep(0.05)
    acquiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    own_redis.signal(signal.SIGCONT)
    await until_met(there)
    await (await there.get(wait=LONG))()


async def test_a_lock_that_could_not_be_given_back_is_given_back_later(
    workers: list[Worker], own_redis: RedisServer
) -> None:
    here, there = workers
    release = await here.get()
    own_redis.signal(signal.SIGSTOP)
    await release()
    own_redis.signal(signal.SIGCONT)
    await until_met(there)
    await (await there.get(wait=LONG))()


async def test_all_locks_are_renewed_however_many(
    workers: list[Worker], own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_locks, "BATCH_SIZE", 7)
    here, there = workers
    releases = [await here.get(f"s{number}") for number in range(30)]
    flush(own_redis)
    await there.redis.ping()
    async with asyncio.timeout(LONG):
        while len(await there.redis.keys("oaicompat:lock:*")) < 30:
            pass
    for release in releases:
        await release()
    assert await there.redis.keys("oaicompat:lock:*") == []


async def test_without_redis_nobody_gets_a_lock(workers: list[Worker], own_redis: RedisServer) -> None:
    release = await workers[0].get()
    own_redis.stop()
    with pytest.raises(StoreUnavailable):
        await workers[1].get(wait=LONG)
    await release()


async def test_a_release_that_the_shutdown_cancels_is_made_up_for(workers: list[Worker]) -> None:
    here, there = workers
    releasing = asyncio.create_task(release_it(await here.get()))
    await here.redis.connection_pool.disconnect()  # so that the release has to connect first
    await asyncio.sleep(0)
    releasing.cancel()
    await asyncio.wait([releasing])
    await here.locks.close()
    assert not await there.is_refused()


async def release_it(release: ReleaseLock) -> None:
    await release()
