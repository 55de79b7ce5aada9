"""The timer that all streams share: it is never early, hardly late, and takes one timer of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.server.event_loop.shared_timer import MOST_IN_A_TURN, Due, SharedTimer, shared_timer
from tests.support.examples import examples
from tests.support.fake_clock import loop_timers, with_fake_clock

NAME = ContextVar("name", default="nobody")


def now() -> float:
    return asyncio.get_running_loop().time()


class Waiting:
    """Waits once for its time."""

    def __init__(self, delay: float, then: Callable[[], object] = lambda: None) -> None:
        self.called: float | None = None
        self.turn = 0
        self.begun, self.delay, self._then = now(), delay, then
        self.due: Due = timer().call_later(delay, self)

    def on_time(self) -> None:
        self.called = now()
        self._then()

    def cancel(self) -> None:
        self.due.discard(self)


def timer() -> SharedTimer:
    return shared_timer(asyncio.get_running_loop())


@examples(60)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.001, 600), st.booleans()), min_size=1, max_size=20))
def test_each_is_called_once_in_time_unless_it_is_cancelled(waits: list[tuple[float, float, bool]]) -> None:
    @with_fake_clock
    async def check() -> None:
        waiting = []
        for pause, delay, _ in waits:
            await asyncio.sleep(pause)
            waiting.append(Waiting(delay))
        for each, (_, _, cancelled) in zip(waiting, waits, strict=True):
            if cancelled:
                each.cancel()
        gone = {each for each, (_, _, cancelled) in zip(waiting, waits, strict=True) if cancelled and not each.called}
        await asyncio.sleep(700)
        for each in waiting:
            if each in gone:
                assert each.called is None
            else:
                assert each.called is not None
                assert each.delay <= each.called - each.begun <= each.delay * (1 + 1 / 64) + 1e-9
            each.cancel()  # too late: does nothing

    check()


@with_fake_clock
async def test_a_thousand_wait_in_one_timer_of_the_loop() -> None:
    waiting = [Waiting(delay) for delay in (15, 300) for _ in range(500)]
    assert (len(loop_timers()), len(timer())) == (1, 1000)
    await asyncio.sleep(20)
    assert [each.called is not None for each in waiting] == [True] * 500 + [False] * 500
    for each in waiting:
        each.cancel()
    assert len(timer()) == 0


@with_fake_clock
async def test_an_earlier_one_does_not_wait_for_a_later_one() -> None:
    late, early = Waiting(300), Waiting(0.1)
    await asyncio.sleep(0.2)
    assert (late.called, early.called is not None) == (None, True)
    late.cancel()


@with_fake_clock
async def test_many_at_once_are_called_over_several_turns() -> None:
    called: list[float] = []
    after_first_turn: list[int] = []

    def then() -> None:
        if not called:
            asyncio.get_running_loop().call_soon(lambda: after_first_turn.append(len(called)))
        called.append(now())

    for _ in range(2 * MOST_IN_A_TURN + 1):
        Waiting(1, then)
    await asyncio.sleep(1.5)
    assert after_first_turn == [MOST_IN_A_TURN]
    assert len(called) == 2 * MOST_IN_A_TURN + 1


@pytest.mark.parametrize("delay", [0.5, 1.0, 70.0])
@with_fake_clock
async def test_one_that_is_called_may_wait_again(delay: float) -> None:
    second: list[Waiting] = []
    Waiting(1, lambda: second.append(Waiting(delay)))
    other = Waiting(2)
    await asyncio.sleep(100)
    assert second[0].called is not None
    assert other.called is not None


@with_fake_clock
async def test_one_that_is_called_may_cancel_another_of_the_same_moment() -> None:
    pair: list[Waiting] = []

    def cancel_both() -> None:
        for each in pair:
            each.cancel()

    pair.extend(Waiting(1, cancel_both) for _ in range(2))
    await asyncio.sleep(2)
    assert [each.called is None for each in pair].count(True) == 1


@with_fake_clock
async def test_one_that_fails_is_reported_and_stops_no_other() -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure["exception"]))
    waiting = [Waiting(1, [].pop) for _ in range(2)]
    await asyncio.sleep(2)
    assert [each.called is not None for each in waiting] == [True, True]
    assert [type(failure) for failure in failures] == [IndexError, IndexError]


@with_fake_clock
async def test_one_is_called_without_the_context_of_another_request() -> None:
    seen: list[str] = []
    NAME.set("the request that sets the timer")
    Waiting(1, lambda: seen.append(NAME.get()))
    await asyncio.sleep(2)
    assert seen == ["nobody"]
