import asyncio

import pytest

from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency import process_life
from oaicompat_proxy.server.idempotency.process_life import EVERYBODY, ProcessLife
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable


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
