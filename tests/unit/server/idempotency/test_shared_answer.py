"""A recording by itself: who writes, who reads, and who waits for whom. The clock jumps."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.api.openai.errors import error_ending
from oaicompat_proxy.core.answer import Part
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import AgentError, IdempotentAnswerGone, ProxyError, UpstreamUnreachable
from oaicompat_proxy.pipeline.answers import StreamedAnswer
from oaicompat_proxy.server.answering.event_stream import HIGH_WATER
from oaicompat_proxy.server.idempotency.broadcast import BroadcastReader
from oaicompat_proxy.server.idempotency.cache import IdempotencyCache
from oaicompat_proxy.server.idempotency.shared_answer import SharedAnswer
from oaicompat_proxy.server.idempotency.shared_sinks import SharedBodySink, SharedStreamSink
from oaicompat_proxy.translation.translator import Translator
from tests.support.fake_clock import with_fake_clock

ROLE = b"data: role\n\n"
PING = b"data: ping\n\n"


def recording(*, max_size: int = 2**20) -> SharedAnswer:
    new_cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(max_entries=9, max_size=max_size, max_bytes=2**20)
    made = SharedAnswer("me", "k", b"", new_cache)
    new_cache.add(made)
    return made


class Encoder:
    """Encodes the first part and keep-alives so that a test recognises them."""

    chunks = 0

    def __init__(self, opening: bytes) -> None:
        self._opening = opening

    def encode(self, chunk: Part) -> bytes:
        return self._opening

    def ping(self) -> bytes:
        return PING

    def end(self) -> bytes:
        return b""

    def fail(self, error: ProxyError) -> bytes:
        return error_ending(error)


def stream(made: SharedAnswer, wait: float = 10, opening: bytes = ROLE) -> SharedStreamSink:
    translator = Translator(AnswerOptions())
    return SharedStreamSink(made, wait, StreamedAnswer(translator, Encoder(opening)))


async def all_of(made: SharedAnswer, reader: BroadcastReader) -> bytes:
    data = b""
    while not reader.at_end:
        data += await made.read(reader)
    return data


@with_fake_clock
async def test_readers_get_what_is_written_while_it_is_written() -> None:
    made = recording()
    readers = [made.add_reader() for _ in range(3)]
    reading = [asyncio.create_task(all_of(made, reader)) for reader in readers]
    async with stream(made) as answer:
        assert not answer.committed
        await answer.write(b"a")
        assert answer.committed
        await asyncio.sleep(1)
        assert answer.write_now(b"b")
        await asyncio.sleep(1)
        await answer.end([b"c"])
    assert [await each for each in reading] == [b"abc"] * 3
    assert await all_of(made, made.add_reader()) == b"abc"


@with_fake_clock
async def test_who_waits_learns_whether_it_is_a_stream() -> None:
    streamed, whole, failed = recording(), recording(), recording()
    waiting = [asyncio.create_task(each.is_stream()) for each in (streamed, whole, failed)]
    await asyncio.sleep(1)
    async with stream(streamed), SharedBodySink(whole):
        failed.fail(AgentError("No."))
        assert [await waiting[0], await waiting[1]] == [True, False]
        with pytest.raises(AgentError):
            await waiting[2]


@with_fake_clock
async def test_a_silent_stream_is_committed_to_by_itself() -> None:
    made = recording()
    reading = asyncio.create_task(made.read(made.add_reader()))
    async with stream(made, wait=10):
        await asyncio.sleep(9.9)
        assert not reading.done()
        await asyncio.sleep(0.2)
    assert await reading == ROLE


@with_fake_clock
async def test_a_commit_without_a_word_puts_no_ping_on_the_tape() -> None:
    """An endpoint whose answers begin with their text has nothing else to open with."""
    made = recording()
    early = made.add_reader()
    reading = asyncio.create_task(made.read_first(early))
    async with stream(made, opening=b"") as answer:
        await asyncio.sleep(9.9)
        assert [reading.done(), answer.committed] == [False, False]
        await asyncio.sleep(0.2)
        assert answer.committed
        assert await reading == PING
        await answer.end([b"a"])
    assert await all_of(made, early) == b"a"
    assert await made.read_first(made.add_reader()) == b"a"


@with_fake_clock
async def test_a_failure_before_the_commit_is_raised_and_one_behind_it_is_read() -> None:
    refused, cut = recording(), recording()
    waiting = asyncio.create_task(refused.read_first(refused.add_reader()))
    await asyncio.sleep(1)
    refused.fail(AgentError("No."))
    with pytest.raises(AgentError):
        await waiting
    reader, error = cut.add_reader(), AgentError("No.")
    async with stream(cut, 1, opening=b"") as answer:
        await asyncio.sleep(2)
        assert await cut.read_first(reader) == PING
        await answer.fail(error)
    assert await all_of(cut, reader) == error_ending(error)


@with_fake_clock
async def test_a_stream_that_has_begun_is_not_opened_again() -> None:
    made = recording()
    async with stream(made, wait=10) as answer:
        await answer.write(b"a")
        await asyncio.sleep(99)
        await answer.end([b"b"])
    assert await all_of(made, made.add_reader()) == b"ab"


@with_fake_clock
async def test_a_failure_before_anything_was_said_is_raised_for_each() -> None:
    made = recording()
    reader = made.add_reader()
    async with stream(made):
        made.fail(AgentError("No."))
    for _ in range(3):
        with pytest.raises(AgentError) as raised:
            await made.read(reader)
        frames = []
        trace = raised.value.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert frames.count("read") == 1, "an error that is raised again keeps no earlier request in memory"


@with_fake_clock
async def test_a_failure_behind_the_commit_is_on_the_tape_and_noted() -> None:
    made, error = recording(), UpstreamUnreachable("Away.")
    async with stream(made) as answer:
        await answer.write(ROLE)
        await answer.fail(error)
    assert await all_of(made, made.add_reader()) == ROLE + error_ending(error)
    assert made.failure is error
    made.fail(AgentError("too late"))
    assert made.failure is error


# Too long to be kept


@with_fake_clock
async def test_the_slowest_reader_holds_the_agent_back() -> None:
    made = recording(max_size=10)
    quick, slow = made.add_reader(), made.add_reader()
    answer = stream(made)
    assert answer.write_now(b"x" * 11)
    with pytest.raises(IdempotentAnswerGone):
        made.add_reader()
    await made.read(quick)
    assert answer.write_now(b"x" * (HIGH_WATER - 11))
    assert not answer.write_now(b"x")
    draining = asyncio.create_task(answer.wait_drained())
    await made.read(quick)
    await asyncio.sleep(1)
    assert not draining.done()
    await made.read(slow)
    await draining
    assert answer.write_now(b"x")


@with_fake_clock
async def test_a_reader_that_leaves_holds_nobody_back() -> None:
    made = recording(max_size=10)
    reader = made.add_reader()
    answer = stream(made)
    writing = asyncio.create_task(_write(answer, b"x" * (HIGH_WATER + 1)))
    await asyncio.sleep(1)
    assert not writing.done()
    made.remove_reader(reader)
    await writing
    assert answer.write_now(b"x" * HIGH_WATER), "nobody reads: nobody has to keep up"


async def _write(answer: SharedStreamSink, data: bytes) -> None:
    async with answer:
        await answer.write(data)


@with_fake_clock
async def test_what_is_kept_holds_nobody_back() -> None:
    """It is in memory anyway, within its bound."""
    made = recording()
    made.add_reader()
    assert stream(made).write_now(b"x" * 2 * HIGH_WATER)


def test_a_run_continues_longer_after_each_break() -> None:
    made = recording()
    made.grace, made.is_retried_soon = 8, True
    assert [made.next_grace() for _ in range(5)] == [2, 4, 8, 8, 8]


def test_a_run_with_a_key_continues_for_its_grace() -> None:
    made = recording(max_size=3)
    made.grace = 30
    assert [made.next_grace() for _ in range(2)] == [30, 30]
    made.write(b"long")
    assert made.next_grace() == 0
