"""An exchange by itself, with a connection that records its calls, and a clock that jumps."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import (
    AgentRunTimeout,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamStartTimeout,
    UpstreamTimeout,
)
from oaicompat_proxy.server.upstream.http_exchange import MAX_BUFFERED, SMALL_CHUNK, Exchange, Limits
from tests.support.examples import examples
from tests.support.fake_clock import with_fake_clock

SILENCE = 60.0
BOOM = UpstreamError("boom")


class Line:
    """A connection that records its calls."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.paused = False
        self.deferred = b""
        self.closed = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True


def begun(*, silence: float | None = SILENCE, head: bool = True) -> tuple[Exchange, Line]:
    line = Line()
    exchange = Exchange(line, Limits(silence=silence or math.inf))
    exchange.head_complete = head
    return exchange, line


def arrive(exchange: Exchange, *pieces: bytes, complete: bool = False) -> None:
    """One read of the connection."""
    exchange.complete = complete
    exchange.on_chunks([b"".join(pieces)] if any(pieces) else [], sum(map(len, pieces)))


def into(taken: list[bytes]) -> Callable[[bytes], bool]:
    """Takes all there is."""

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    return take


def now() -> float:
    return asyncio.get_running_loop().time()


# Head


@with_fake_clock
async def test_the_head_is_waited_for() -> None:
    exchange, _ = begun(head=False)
    waiting = asyncio.create_task(exchange.head())
    await asyncio.sleep(1)
    arrive(exchange)
    await asyncio.sleep(1)
    assert not waiting.done()
    exchange.head_complete = True
    arrive(exchange)
    await waiting
    await exchange.head()
    exchange.abort()


@with_fake_clock
async def test_a_wait_for_the_head_ends_with_the_connections_error() -> None:
    exchange, _ = begun(head=False)
    waiting = asyncio.create_task(exchange.head())
    await asyncio.sleep(0)
    exchange.fail(BOOM)
    exchange.fail(UpstreamError("a second fault is no news"))
    for _ in range(2):
        with pytest.raises(UpstreamError, match="boom"):
            await waiting
        waiting = asyncio.create_task(exchange.head())
    with pytest.raises(UpstreamError, match="boom"):
        await waiting


# Pulled and pushed


READS = st.lists(st.lists(st.binary(max_size=5), max_size=3), max_size=8)


def played(exchange: Exchange, reads: Sequence[Sequence[bytes]], ending: str) -> Coroutine[Any, Any, None]:
    async def play() -> None:
        for pieces in reads:
            arrive(exchange, *filter(None, pieces))
            await asyncio.sleep(0)
        if ending == "complete":
            arrive(exchange, complete=True)
        else:
            exchange.fail(BOOM)

    return play()


@pytest.mark.parametrize("ending", ["complete", "lost"])
@examples(150)
@given(READS, st.integers(0, 8), st.integers(0, 8))
def test_all_bytes_come_once_and_in_order_then_the_end(
    ending: str, reads: list[list[bytes]], pulls: int, start: int
) -> None:
    """Some pulled, the rest pushed; however much was there before anyone read."""

    @with_fake_clock
    async def check() -> None:
        exchange, _ = begun()
        playing = asyncio.create_task(played(exchange, reads, ending))
        for _ in range(start):
            await asyncio.sleep(0)
        got: list[bytes] = []
        failed = False
        try:
            for _ in range(pulls):
                if not (data := await exchange.read()):
                    break
                got.append(data)
            else:
                await exchange.push_to(b"".join, into(got))
        except UpstreamError:
            failed = True
        await playing
        assert b"".join(got) == b"".join(map(b"".join, reads))
        assert b"" not in got
        assert failed == (ending == "lost")

    check()


@with_fake_clock
async def test_what_is_pushed_is_taken_within_the_lines_own_callback() -> None:
    exchange, _ = begun()
    taken: list[bytes] = []
    pumping = asyncio.create_task(exchange.push_to(b"".join, into(taken)))
    await asyncio.sleep(0)
    arrive(exchange, b"a", b"b")
    assert taken == [b"ab"]
    arrive(exchange)
    arrive(exchange, b"c", complete=True)
    assert taken == [b"ab", b"c"]
    await pumping


@with_fake_clock
async def test_who_has_enough_is_given_no_more() -> None:
    """Later bytes can be read."""
    exchange, _ = begun()
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return len(taken) < 2

    pumping = asyncio.create_task(exchange.push_to(b"".join, take))
    await asyncio.sleep(0)
    for piece in (b"a", b"b", b"c"):
        arrive(exchange, piece)
    await pumping
    assert taken == [b"a", b"b"]
    assert await exchange.read() == b"c"
    arrive(exchange, complete=True)


@with_fake_clock
async def test_who_has_enough_of_what_was_there_already_does_not_wait() -> None:
    exchange, _ = begun()
    arrive(exchange, b"a")
    await exchange.push_to(b"".join, lambda data: False)
    exchange.abort()


@pytest.mark.parametrize("when", ["there", "later", "last"])
@with_fake_clock
async def test_a_taker_that_fails_fails_the_pump_and_not_the_line(when: str) -> None:
    exchange, _ = begun()

    def take(data: bytes) -> bool:
        raise LookupError(data)

    if when == "there":
        arrive(exchange, b"a")
    pumping = asyncio.create_task(exchange.push_to(b"".join, take))
    await asyncio.sleep(0)
    if when != "there":
        arrive(exchange, b"a", complete=when == "last")
    with pytest.raises(LookupError):
        await pumping
    exchange.abort()


@with_fake_clock
async def test_a_taker_may_give_the_exchange_up() -> None:
    exchange, line = begun()

    def take(data: bytes) -> bool:
        exchange.abort()
        return False

    pumping = asyncio.create_task(exchange.push_to(b"".join, take))
    await asyncio.sleep(0)
    arrive(exchange, b"a")
    assert line.closed
    await pumping
    with pytest.raises(UpstreamInterrupted):
        await exchange.read()


# Faults


@pytest.mark.parametrize("reading", ["read", "pump"])
@with_fake_clock
async def test_what_came_before_a_fault_is_delivered_before_it(reading: str) -> None:
    exchange, _ = begun()
    arrive(exchange, b"a")
    arrive(exchange, b"b")
    exchange.fail(BOOM)
    taken: list[bytes] = []
    if reading == "read":
        taken.append(await exchange.read())
    with pytest.raises(UpstreamError, match="boom"):
        await exchange.push_to(b"".join, into(taken))
    assert taken == [b"ab"]


@with_fake_clock
async def test_a_fault_behind_the_end_is_none() -> None:
    exchange, line = begun()
    arrive(exchange, b"a", complete=True)
    exchange.fail(BOOM)
    exchange.abort()
    assert await exchange.read() == b"a"
    assert await exchange.read() == b""
    assert not line.closed


@pytest.mark.parametrize("reading", ["head", "read", "pump"])
@with_fake_clock
async def test_a_wait_ends_with_an_error_when_the_exchange_is_aborted(reading: str) -> None:
    exchange, line = begun(head=reading != "head")
    waits: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "head": exchange.head,
        "read": exchange.read,
        "pump": lambda: exchange.push_to(b"".join, lambda data: True),
    }
    waiting = asyncio.create_task(waits[reading]())
    await asyncio.sleep(0)
    exchange.abort()
    with pytest.raises(UpstreamInterrupted, match="was cancelled"):
        await waiting
    assert line.closed


# Silence


@with_fake_clock
async def test_silence_has_a_limit_to_a_tenth() -> None:
    exchange, line = begun()
    with pytest.raises(UpstreamTimeout):
        await exchange.read()
    assert SILENCE <= now() <= 1.1 * SILENCE
    assert line.closed


@pytest.mark.parametrize("pause", [1.0, 29.0, 59.9])
@with_fake_clock
async def test_every_sign_begins_it_anew(pause: float) -> None:
    """Also one that is no body: a piece of the head, or news."""
    exchange, _ = begun()
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    for number in range(20):
        await asyncio.sleep(pause)
        arrive(exchange, *([b"a"] if number % 2 else []))
    last = now()
    with pytest.raises(UpstreamTimeout):
        await pumping
    assert SILENCE <= now() - last <= 1.1 * SILENCE


@with_fake_clock
async def test_while_nobody_listens_nobody_is_silent() -> None:
    """A client that takes an hour is no fault of the agent's; then its time begins."""
    exchange, _ = begun()
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    await asyncio.sleep(0)
    arrive(exchange, b"a")
    exchange.pause()
    await asyncio.sleep(3600)
    assert not pumping.done()
    exchange.resume()
    resumed = now()
    with pytest.raises(UpstreamTimeout):
        await pumping
    assert SILENCE <= now() - resumed <= 1.1 * SILENCE


@with_fake_clock
async def test_a_reader_that_comes_back_late_does_not_find_it_silent() -> None:
    """It was paused by what lay unread."""
    exchange, line = begun()
    arrive(exchange, bytes(MAX_BUFFERED + 1))
    assert line.paused
    await asyncio.sleep(3600)
    assert len(await exchange.read()) == MAX_BUFFERED + 1
    assert not line.paused
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0.9 * SILENCE)
    arrive(exchange, b"more")
    assert await reading == b"more"
    exchange.abort()


@with_fake_clock
async def test_resuming_what_was_not_paused_is_no_sign_of_the_agent() -> None:
    exchange, _ = begun()
    reading = asyncio.create_task(exchange.read())
    for _ in range(100):
        await asyncio.sleep(1)
        exchange.resume()
        if reading.done():
            break
    with pytest.raises(UpstreamTimeout):
        await reading
    assert now() <= 1.1 * SILENCE + 1


@with_fake_clock
async def test_without_a_limit_silence_may_last() -> None:
    exchange, _ = begun(silence=None)
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(10**6)
    arrive(exchange, b"a", complete=True)
    assert await reading == b"a"


@with_fake_clock
async def test_a_long_answer_costs_few_timers() -> None:
    """One for all of it, looked at now and then: none per read."""
    loop = asyncio.get_running_loop()
    made = 0
    call_later = loop.call_later

    def counting(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        nonlocal made
        made += 1
        return call_later(*args, **kwargs)

    exchange, _ = begun()
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    await asyncio.sleep(0)
    loop.call_later = counting  # type: ignore[method-assign, assignment]
    for _ in range(10_000):
        arrive(exchange, b"a")
    arrive(exchange, complete=True)
    await pumping
    assert made == 0


# Back-pressure


@with_fake_clock
async def test_what_nobody_reads_stops_the_line() -> None:
    exchange, line = begun()
    arrive(exchange, bytes(MAX_BUFFERED))
    assert not line.paused
    arrive(exchange, b"x")
    assert line.paused
    assert len(await exchange.read()) == MAX_BUFFERED + 1
    assert not line.paused
    exchange.abort()


@with_fake_clock
async def test_what_is_taken_at_once_never_stops_it() -> None:
    exchange, line = begun()
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    await asyncio.sleep(0)
    for _ in range(10):
        arrive(exchange, bytes(MAX_BUFFERED + 1))
        assert not line.paused
    assert exchange.buffered == 0
    arrive(exchange, complete=True)
    await pumping


@with_fake_clock
async def test_who_waits_for_more_listens() -> None:
    """Also if another caller has paused it before."""
    exchange, line = begun()
    exchange.pause()
    assert line.paused
    reading = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    assert not line.paused
    arrive(exchange, b"a", complete=True)
    assert await reading == b"a"


@with_fake_clock
async def test_a_taker_may_pause_while_it_takes() -> None:
    """Also with bytes that arrived before the pump began."""
    exchange, line = begun()
    arrive(exchange, b"a")

    def take(data: bytes) -> bool:
        exchange.pause()
        return True

    pumping = asyncio.create_task(exchange.push_to(b"".join, take))
    await asyncio.sleep(0)
    assert line.paused
    exchange.resume()
    arrive(exchange, b"b")
    assert line.paused
    exchange.abort()
    with pytest.raises(UpstreamInterrupted):
        await pumping


@with_fake_clock
async def test_an_exchange_that_is_over_has_no_say_over_the_line() -> None:
    """Which may be another's by now."""
    exchange, line = begun()
    arrive(exchange, b"a", complete=True)
    exchange.pause()
    assert not line.paused
    line.paused = True
    exchange.resume()
    await exchange.finish(1)
    exchange.abort()
    assert line.paused
    assert not line.closed


# The end


@with_fake_clock
async def test_finishing_reads_to_the_end_and_keeps_the_line() -> None:
    exchange, line = begun()
    exchange.pause()
    finishing = asyncio.create_task(exchange.finish(5))
    await asyncio.sleep(1)
    arrive(exchange, b"a")
    await asyncio.sleep(1)
    arrive(exchange, b"b", complete=True)
    await finishing
    assert now() == 2
    assert not line.closed


@pytest.mark.parametrize("chatty", [False, True])
@with_fake_clock
async def test_finishing_has_a_limit(chatty: bool) -> None:
    """Also where bytes go on coming."""
    exchange, line = begun()
    finishing = asyncio.create_task(exchange.finish(5))
    while not finishing.done():
        await asyncio.sleep(0.5)
        if chatty:
            arrive(exchange, b"a")
    await finishing
    assert now() <= 6
    assert line.closed


@with_fake_clock
async def test_finishing_what_is_lost_is_no_fault() -> None:
    exchange, _ = begun()
    exchange.fail(BOOM)
    await exchange.finish(5)
    assert now() == 0


@pytest.mark.parametrize("waiting", ["head", "read", "pump", "finish"])
@with_fake_clock
async def test_who_stops_waiting_can_be_followed_by_another(waiting: str) -> None:
    exchange, _ = begun(head=waiting != "head")
    waits: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "head": exchange.head,
        "read": exchange.read,
        "pump": lambda: exchange.push_to(b"".join, lambda data: True),
        "finish": lambda: exchange.finish(5),
    }
    task = asyncio.create_task(waits[waiting]())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if waiting == "finish":
        exchange.abort()
        return
    exchange.head_complete = True
    arrive(exchange, b"a", complete=True)
    assert await exchange.read() == b"a"


def exchanges() -> int:
    """How many there are."""
    gc.collect()
    return sum(isinstance(each, Exchange) for each in gc.get_objects())


@pytest.mark.slow
@with_fake_clock
async def test_nobody_remembers_an_exchange_that_is_over() -> None:
    before = exchanges()
    for end in ("complete", "cut", "lost"):
        exchange = Exchange(Line(), Limits(silence=SILENCE))
        exchange.head_complete = True
        if end == "complete":
            arrive(exchange, b"a", complete=True)
        elif end == "cut":
            exchange.abort()
        else:
            exchange.fail(BOOM)
        assert exchanges() == before + 1
        del exchange
    assert exchanges() == before


# Limits from the request on


def limited(**limits: float) -> Exchange:
    exchange = Exchange(Line(), Limits(silence=SILENCE, **limits))
    exchange.head_complete = True
    return exchange


READS: dict[str, Callable[[Exchange], Coroutine[Any, Any, object]]] = {
    "pumped": lambda exchange: exchange.push_to(b"".join, lambda data: True),
    "read": lambda exchange: exchange.read(),
}


@pytest.mark.parametrize("how", READS)
@with_fake_clock
async def test_the_first_byte_has_a_limit_of_its_own(how: str) -> None:
    """A head is no byte of the body, and begins nothing anew."""
    exchange = limited(start=10)
    reading = asyncio.create_task(READS[how](exchange))
    await asyncio.sleep(5)
    arrive(exchange)
    with pytest.raises(UpstreamStartTimeout):
        await reading
    assert now() == 10


@with_fake_clock
async def test_after_the_first_byte_only_silence_counts() -> None:
    exchange = limited(start=10)
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    await asyncio.sleep(9)
    arrive(exchange, b"a")
    with pytest.raises(UpstreamTimeout) as raised:
        await pumping
    assert type(raised.value) is UpstreamTimeout
    assert SILENCE <= now() - 9 <= 1.1 * SILENCE


@pytest.mark.parametrize("paused", [False, True])
@with_fake_clock
async def test_a_run_has_a_limit_however_busy_it_is(paused: bool) -> None:
    """Also while its client takes nothing."""
    exchange = limited(whole=100)
    pumping = asyncio.create_task(exchange.push_to(b"".join, lambda data: True))
    for _ in range(99):
        await asyncio.sleep(1)
        arrive(exchange, b"a")
    if paused:
        exchange.pause()
    with pytest.raises(AgentRunTimeout):
        await pumping
    assert now() == 100


@pytest.mark.parametrize("limits", [{"start": 10.0}, {"whole": 10.0}, {"start": 10.0, "whole": 20.0}], ids=str)
@pytest.mark.parametrize("ending", ["complete", "cut", "lost"])
@with_fake_clock
async def test_what_is_over_has_no_timer(limits: dict[str, float], ending: str) -> None:
    exchange = limited(**limits)
    if ending == "complete":
        arrive(exchange, b"a", complete=True)
    elif ending == "cut":
        exchange.abort()
    else:
        exchange.fail(BOOM)


@with_fake_clock
async def test_buffered_chunks_are_joined_only_if_they_are_small() -> None:
    """Each is an object, whose memory would exceed that of a small chunk."""
    for size, kept in ((SMALL_CHUNK, 9), (SMALL_CHUNK - 1, 1)):
        exchange, _ = begun()
        exchange.on_chunks([bytes(size)] * 9, size * 9)
        assert [len(chunk) for chunk in await exchange.read_chunks()] == [size * 9 // kept] * kept
        exchange.abort()
