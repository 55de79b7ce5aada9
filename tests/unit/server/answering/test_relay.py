"""The loop of a streamed answer by itself, with a scripted run and a scripted client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import cast

import pytest

from oaicompat_proxy.core.answer import AnswerStarted, Part, TextPart
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import ProxyError, UpstreamError, UpstreamInterrupted
from oaicompat_proxy.core.events import (
    Event,
    RunEnded,
    RunFailed,
    RunStarted,
    TextDelta,
    TickStarted,
)
from oaicompat_proxy.pipeline.answers import StreamedAnswer
from oaicompat_proxy.server.answering.event_stream import AnswerStream, ClientGone
from oaicompat_proxy.server.answering.relay import Relay
from oaicompat_proxy.server.observability.run_report import RunCounts, RunReport
from oaicompat_proxy.server.upstream.event_source import EventSource, PullSource, TakeEvents
from oaicompat_proxy.translation.translator import Translator

Read = Sequence[Event | Exception]

FAULT = UpstreamError("The agent sent an event that is no JSON.")


class Encoder:
    """Shows roles and texts, nothing else."""

    chunks = 0

    def encode(self, chunk: Part) -> bytes:
        if isinstance(chunk, AnswerStarted):
            return b"<"
        return chunk.text.encode() if isinstance(chunk, TextPart) else b"."

    def ping(self) -> bytes:
        return b"~"

    def end(self) -> bytes:
        return b">"

    def fail(self, error: ProxyError) -> bytes:
        return b"!"


class Pulled(PullSource):
    """A run whose reads are awaited. An error among its reads or events is raised where it stands."""

    arrived = 0.0

    def __init__(self, *reads: Read | Exception) -> None:
        super().__init__()
        self.left = list(reads)
        self.opened = False

    async def open(self) -> None:
        self.opened = True

    async def __anext__(self) -> Iterator[Event]:
        await asyncio.sleep(0)
        if not self.left:
            raise StopAsyncIteration
        read = self.left.pop(0)
        if isinstance(read, Exception):
            raise read
        return self.events(read)

    def events(self, read: Read) -> Iterator[Event]:
        for event in read:
            if isinstance(event, Exception):
                raise event
            yield event


class Run(Pulled):
    """The first reads are awaited, the others are pushed by the test."""

    def __init__(self, *reads: Read | Exception) -> None:
        super().__init__(*reads)
        self._take: TakeEvents | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.paused = False
        self.pauses = 0

    async def push_to(self, take: TakeEvents) -> None:
        self._take = take
        try:
            await self._over
        finally:
            self._take = None

    @property
    def is_pumped(self) -> bool:
        return self._take is not None

    def come(self, *events: Event | Exception) -> bool:
        """One read, as the callback of a connection brings it; whether more is wanted."""
        return self.bring(self.events(events))

    def bring(self, events: Iterable[Event]) -> bool:
        assert self._take is not None
        try:
            goes_on = self._take(events)
        except Exception as error:
            self.end(error)
            return False
        if not goes_on:
            self.end()
        return goes_on

    def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False


class Answer:
    """A client: the bytes of each write; `slow` while its buffer is full."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.pushed: list[bytes] = []
        self.slow = False
        self.gone = False
        self.drainings = 0
        self.takes = asyncio.Event()

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.gone:
            raise ClientGone
        self.written.append(data)

    def write_now(self, data: bytes) -> bool:
        if self.gone:
            raise ClientGone
        self.pushed.append(data)
        return not self.slow

    async def wait_drained(self) -> None:
        self.drainings += 1
        await self.takes.wait()
        if self.gone:
            raise ClientGone


class Scene:
    """A relay at work."""

    def __init__(self, run: EventSource) -> None:
        self.answer = Answer()
        self.report = RunReport("chat", RunCounts())
        translator = Translator(AnswerOptions(tick_separator=""))
        answer = StreamedAnswer(translator, Encoder())
        relay = Relay(run, answer, cast(AnswerStream, self.answer), self.report)
        self.relaying = asyncio.create_task(self._relay(relay))

    async def _relay(self, relay: Relay) -> bytes:
        """The last bytes."""
        return b"".join(await relay.relay())

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def sent(self) -> bytes:
        return b"".join(self.answer.written + self.answer.pushed)


async def pushing(*first: Read) -> tuple[Run, Scene]:
    """A relay that has written its first bytes and is pushed from now on."""
    run = Run(*(first or [[RunStarted(), TextDelta("a")]]))
    scene = Scene(run)
    await scene.settle()
    assert run.is_pumped
    return run, scene


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    unseen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert unseen == []


# Pulled


async def test_reads_that_are_awaited_are_sent_one_by_one() -> None:
    scene = Scene(
        Pulled([RunStarted()], [TextDelta("a")], [TextDelta("b"), TextDelta("c")], [TextDelta("d"), RunEnded()])
    )
    assert await scene.relaying == b"d."
    assert scene.answer.written == [b"<a"]
    assert scene.answer.pushed == [b"bc"]


async def test_no_read_is_awaited_while_the_client_is_slow() -> None:
    run = Pulled([RunStarted(), TextDelta("a")], [TextDelta("b")], [TextDelta("c")], [RunEnded()])
    scene = Scene(run)
    scene.answer.slow = True
    await scene.settle()
    assert (scene.sent, len(run.left)) == (b"<ab", 2)
    scene.answer.slow = False
    scene.answer.takes.set()
    assert await scene.relaying == b"."
    assert scene.sent == b"<abc"


async def test_a_read_that_says_nothing_is_not_written() -> None:
    scene = Scene(Run([RunStarted()], [TickStarted()], [], [TextDelta("")], [TextDelta("a"), RunEnded()]))
    assert await scene.relaying == b"<a."
    assert scene.sent == b""


async def test_a_short_run_is_one_last_write() -> None:
    """The caller makes it one with the ending."""
    run = Run([RunStarted(), TextDelta("a"), RunEnded(), TextDelta("never")])
    scene = Scene(run)
    assert await scene.relaying == b"<a."
    assert scene.sent == b""
    assert run.opened
    assert not run.is_pumped


@pytest.mark.parametrize(
    ("reads", "sent"),
    [
        ([], b""),
        ([[RunStarted()]], b""),
        ([FAULT], b""),
        ([[RunStarted(), FAULT]], b""),
        ([[RunStarted(), TextDelta("a"), FAULT, TextDelta("b")]], b"<a"),
        ([[RunStarted(), TextDelta("a"), RunFailed("no"), TextDelta("b")]], b"<a"),
    ],
)
@pytest.mark.parametrize("kind", [Pulled, Run])
async def test_a_failure_is_raised_behind_what_was_said_before_it(
    kind: type[Pulled], reads: list[Read], sent: bytes
) -> None:
    scene = Scene(kind(*reads))
    with pytest.raises(ProxyError):
        await scene.relaying
    assert scene.sent == sent


async def test_a_run_that_cannot_be_opened_is_not_read() -> None:
    class Closed(Run):
        async def open(self) -> None:
            raise FAULT

    scene = Scene(Closed([TextDelta("a")]))
    with pytest.raises(UpstreamError):
        await scene.relaying
    assert scene.sent == b""


async def test_a_client_that_left_early_ends_it() -> None:
    run = Run([RunStarted(), TextDelta("a")])
    scene = Scene(run)
    scene.answer.gone = True
    with pytest.raises(ClientGone):
        await scene.relaying
    assert not run.is_pumped


# Pushed


async def test_after_the_first_write_every_read_is_pushed_within_its_callback() -> None:
    run, scene = await pushing()
    assert scene.answer.written == [b"<a"]
    assert run.come(TextDelta("b"), TextDelta("c"))
    assert scene.answer.pushed == [b"bc"]
    assert run.come()
    assert run.come(TickStarted())
    assert run.come(TextDelta("d"))
    assert scene.answer.pushed == [b"bc", b"d"]
    assert not run.come(TextDelta("e"), RunEnded(), TextDelta("never"))
    assert await scene.relaying == b"e."
    assert scene.answer.pushed == [b"bc", b"d"]
    assert scene.answer.drainings == 0


@pytest.mark.parametrize("failure", [FAULT, RunFailed("no")])
async def test_a_failure_in_a_read_is_raised_behind_its_events(failure: Event | Exception) -> None:
    run, scene = await pushing()
    assert not run.come(TextDelta("b"), failure, TextDelta("never"))
    with pytest.raises(ProxyError):
        await scene.relaying
    assert scene.sent == b"<ab"


@pytest.mark.parametrize("error", [None, UpstreamInterrupted("gone"), FAULT])
async def test_a_stream_that_stops_without_the_last_word_is_no_success(error: ProxyError | None) -> None:
    run, scene = await pushing()
    run.come(TextDelta("b"))
    run.end(error)
    with pytest.raises(ProxyError) as caught:
        await scene.relaying
    assert error is None or caught.value is error
    assert scene.sent == b"<ab"


async def test_our_own_fault_is_not_hidden() -> None:
    run, scene = await pushing()
    assert not run.come(TextDelta("b"), LookupError("ours"))
    with pytest.raises(LookupError):
        await scene.relaying


async def test_a_client_that_left_ends_the_pushing() -> None:
    run, scene = await pushing()
    scene.answer.gone = True
    assert not run.come(TextDelta("b"))
    with pytest.raises(ClientGone):
        await scene.relaying


# A slow client


async def test_a_slow_client_pauses_the_run_and_resumes_it() -> None:
    run, scene = await pushing()
    for round_ in (1, 2):
        scene.answer.slow = True
        assert run.come(TextDelta("b"))
        assert run.paused
        await scene.settle()
        assert run.paused
        scene.answer.slow = False
        scene.answer.takes.set()
        await scene.settle()
        assert not run.paused
        assert (run.pauses, scene.answer.drainings) == (round_, round_)
        scene.answer.takes.clear()
        assert run.come(TextDelta("c"))
        assert not run.paused
    run.come(RunEnded())
    await scene.relaying
    assert scene.sent == b"<abcbc"


async def test_a_slow_client_gets_what_was_on_its_way_in_order() -> None:
    """Only one task waits for the client."""
    run, scene = await pushing()
    scene.answer.slow = True
    for text in "bcd":
        assert run.come(TextDelta(text))
        await scene.settle()
    assert scene.answer.drainings == 1
    assert run.paused
    assert not run.come(TextDelta("e"), RunEnded())
    assert await scene.relaying == b"e."
    assert scene.sent == b"<abcd"
    assert not run.paused


@pytest.mark.parametrize("failure", [FAULT, RunFailed("no")])
async def test_a_failure_while_the_client_is_slow_is_still_the_failure(failure: Event | Exception) -> None:
    run, scene = await pushing()
    scene.answer.slow = True
    run.come(TextDelta("b"))
    await scene.settle()
    assert not run.come(TextDelta("c"), failure)
    with pytest.raises(ProxyError):
        await scene.relaying
    assert scene.sent == b"<abc"


@pytest.mark.parametrize("how", ["reads on", "breaks off", "last word"])
async def test_a_client_that_leaves_while_it_is_waited_for_ends_it(how: str) -> None:
    """In any next state of the run, no failure of the agent is reported."""
    run, scene = await pushing()
    scene.answer.slow = True
    run.come(TextDelta("b"))
    await scene.settle()
    scene.answer.gone = True
    scene.answer.takes.set()
    await scene.settle()
    assert not run.paused, "the run may have to go on for others"
    if how == "reads on" and run.is_pumped:
        assert not run.come(TextDelta("c"))
    elif how == "last word" and run.is_pumped:
        run.come(RunEnded())
    elif run.is_pumped:
        run.end(UpstreamInterrupted("gone"))
    with pytest.raises(ClientGone):
        await scene.relaying
    assert scene.sent == b"<ab"


@pytest.mark.parametrize("slow", [False, True])
async def test_a_relay_that_is_given_up_leaves_no_one_waiting(slow: bool) -> None:
    """The fixture looks for tasks."""
    run, scene = await pushing()
    scene.answer.slow = slow
    run.come(TextDelta("b"))
    await scene.settle()
    scene.relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.relaying
    assert not run.paused
