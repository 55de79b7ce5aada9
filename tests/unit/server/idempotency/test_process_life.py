import asyncio
from collections.abc import Iterable, Mapping

import pytest

from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.redis_answers import RedisAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency import process_life
from oaicompat_proxy.server.idempotency.process_life import EVERYBODY, ProcessLife
from oaicompat_proxy.server.shared_storage.redis_client import connect
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable
from tests.support.proxy_harness import RedisServer
from tests.support.stored_answers import MANY, small_memory

pytest_plugins = ["tests.support.proxy_fixtures"]


@pytest.fixture
def answers() -> MemoryAnswers:
    return MemoryAnswers(Bounds(100, 60), SharedTable(slots=64, slot_size=1024))


async def test_a_process_is_alive_from_its_first_heartbeat_to_its_end(answers: MemoryAnswers) -> None:
    process, other = ProcessLife(answers), ProcessLife(answers)
    assert not await other.is_alive(process.process)
    await process.begin()
    assert await other.is_alive(process.process)
    await process.end()
    assert not await other.is_alive(process.process)


async def test_a_lost_heartbeat_is_sent_again_and_reported(
    answers: MemoryAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_life, "BEAT", 0.001)
    process, other, lost = ProcessLife(answers), ProcessLife(answers), asyncio.Event()

    async def on_loss() -> None:
        assert await other.is_alive(process.process)
        lost.set()

    process.on_loss = on_loss
    await process.begin()
    await answers.delete_all(EVERYBODY)
    async with asyncio.timeout(10):
        await lost.wait()
    await process.end()


class Watched(RedisAnswers):
    """Says when an attempt to find an entry has failed and an entry was added after it."""

    def watch(self) -> None:
        self.has_failed, self.missed_beat = False, asyncio.Event()

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        try:
            return await super().find(scope, names, max_bytes=max_bytes)
        except StoreUnavailable:
            self.has_failed = True
            raise

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        await super().add(scope, entries, ttl=ttl)
        if self.has_failed:
            self.missed_beat.set()


async def test_a_loss_is_reported_although_heartbeats_failed_meanwhile(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_life, "BEAT", 0.05)
    lost = asyncio.Event()

    async def on_loss() -> None:
        lost.set()

    async with connect(own_redis.url) as redis:
        answers = Watched(redis, MANY, small_memory())
        answers.watch()
        process = ProcessLife(answers)
        process.on_loss = on_loss
        await process.begin()
        own_redis.stop()
        async with asyncio.timeout(10):
            await answers.missed_beat.wait()
            own_redis.start()
            await lost.wait()
        await process.end()
