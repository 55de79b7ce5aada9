"""Readers at other processes, as their calls make them; wire/test_remote_answers has both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import AgentError
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.idempotency import foreign_readers
from oaicompat_proxy.server.idempotency.answer_calls import HOLD, READ, AnswerCall, AnswerReply, decode_reply
from oaicompat_proxy.server.idempotency.cache import IdempotencyCache
from oaicompat_proxy.server.idempotency.foreign_readers import ForeignReaders
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.idempotency.run_once import IdempotentRuns
from oaicompat_proxy.server.idempotency.shared_answer import SharedAnswer
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable

EVENTS = [b"data: %d\n\n" % number for number in range(5)]


class OneAnswer(IdempotentRuns):
    """The runs of a process, one of which is read."""

    answer: SharedAnswer | None = None

    def find(self, scope: str, answer_id: str) -> SharedAnswer | None:
        return self.answer if (scope, answer_id) == ("alice", "toy-1") else None


@pytest.fixture
async def runs() -> AsyncIterator[OneAnswer]:
    made = OneAnswer(
        Config(demo=True), ProcessLife(MemoryAnswers(Bounds(100, 60), SharedTable(slots=64, slot_size=1024)))
    )
    cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(max_entries=1, max_size=1000, max_bytes=1000)
    made.answer = SharedAnswer("alice", "key", b"", cache, grace=float("inf"))
    made.answer.begin(streamed=True)
    yield made
    await made.shutdown()


async def ask(
    readers: ForeignReaders, skipped: int, *, wants: str = READ, scope: str = "alice", reader: str = "r"
) -> AnswerReply:
    return decode_reply(await readers.answer(AnswerCall(wants, scope, "toy-1", reader, skipped).encode()))


async def test_each_question_gets_the_events_behind_those_that_are_there(runs: OneAnswer) -> None:
    shared, readers = runs.answer, ForeignReaders(runs)
    assert shared is not None
    shared.write(EVENTS[0] + EVENTS[1])
    assert await ask(readers, 1) == AnswerReply("live", EVENTS[1], 1, "", committed=True)
    waiting = asyncio.create_task(ask(readers, 2))
    await asyncio.sleep(0)
    shared.ping = lambda: b"ping"
    shared.write(EVENTS[2])
    assert await waiting == AnswerReply("live", EVENTS[2], 2, "ping", committed=True)
    again = await ask(readers, 2)
    assert (again.data, again.skipped) == (EVENTS[2], 2), "the reply was lost"
    shared.write(EVENTS[3])
    shared.end()
    last = await ask(readers, 3)
    assert (last.state, last.data) == ("ended", EVENTS[3])
    assert not shared.buffer.has_readers


async def test_nothing_to_say_is_a_reply(runs: OneAnswer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_readers, "READ_WAIT", 0.01)
    assert await ask(ForeignReaders(runs), 0) == AnswerReply("live")


async def test_a_failure_and_another_callers_answer(runs: OneAnswer) -> None:
    shared, readers = runs.answer, ForeignReaders(runs)
    assert shared is not None
    assert (await ask(readers, 0, scope="bob")).state == "gone"
    shared.fail(AgentError("no luck"))
    failed = await ask(readers, 0)
    assert failed.state == "failed"
    assert b"no luck" in failed.data
    assert not shared.buffer.has_readers


async def test_readers_are_bounded_and_forgotten(runs: OneAnswer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_readers, "MAX_READERS", 1)
    shared, readers = runs.answer, ForeignReaders(runs)
    assert shared is not None
    assert (await ask(readers, 0, wants=HOLD)).state == "live"
    assert (await ask(readers, 0, wants=HOLD, reader="another")).state == "gone"
    monkeypatch.setattr(foreign_readers, "READER_TTL", 0.01)
    await ask(readers, 0, wants=HOLD)
    async with asyncio.timeout(5):
        while shared.buffer.has_readers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await ask(readers, 0, wants=HOLD, reader="another")).state == "live"
    monkeypatch.undo()
    shared.write(EVENTS[0])
    shared.end()
    ending = asyncio.create_task(readers.until_read(5))
    await ask(readers, 0, reader="another")
    await ending
