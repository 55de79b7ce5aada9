"""The budget of a turn: reads beyond it wait, in order, and none waits without end."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.server.event_loop.turn_budget import (
    BYTE_TIME,
    FIRST_REQUEST_TIME,
    LONGEST_TURN,
    QUANTUM,
    STEP_TIME,
    TurnBudget,
    turn_budget,
)
from tests.support.fake_clock import Clock


def spend(budget: TurnBudget) -> None:
    while budget.left > 0 or budget.extend():
        budget.left = 0


async def test_what_is_over_the_budget_is_done_in_the_next_turns_in_order() -> None:
    clock = Clock()
    budget = TurnBudget(asyncio.get_running_loop(), clock)
    done: list[int] = []
    turns: list[list[int]] = []

    def work(number: int) -> None:
        done.append(number)
        budget.left -= QUANTUM
        clock.now += LONGEST_TURN * 0.6

    for number in range(7):
        budget.defer(lambda number=number: work(number))  # type: ignore[misc]
    assert budget.extend()
    while len(done) < 7:
        before = len(done)
        await asyncio.sleep(0)
        turns.append(done[before:])
    assert turns == [[0, 1], [2, 3], [4, 5], [6]]


async def test_a_turn_begins_anew_after_what_little_was_done() -> None:
    clock = Clock()
    budget = TurnBudget(asyncio.get_running_loop(), clock)
    assert budget.extend()
    clock.now += LONGEST_TURN / 2
    assert budget.extend()
    clock.now += LONGEST_TURN
    assert not budget.extend()
    await asyncio.sleep(0)
    assert budget.left == QUANTUM
    assert budget.extend()


async def test_tasks_that_a_read_wakes_take_time_of_this_turn_and_not_of_later_ones() -> None:
    budget = TurnBudget(asyncio.get_running_loop(), Clock())
    budget.defer(lambda: None)  # another turn is counted
    assert budget.extend()
    steps = 0
    while budget.extend():
        budget.expect_step()
        steps += 1
    assert abs(steps - LONGEST_TURN / STEP_TIME) <= 1
    await asyncio.sleep(0)
    assert budget.extend()


async def test_first_requests_of_connections_take_more_of_a_turn() -> None:
    budget = TurnBudget(asyncio.get_running_loop(), Clock())
    assert budget.extend()
    requests = 0
    while budget.extend():
        budget.expect_first_request()
        requests += 1
    assert abs(requests - LONGEST_TURN / FIRST_REQUEST_TIME) <= 1


async def test_tasks_that_go_on_take_time_of_the_turn_after_theirs_too() -> None:
    budget = TurnBudget(asyncio.get_running_loop(), Clock(), Clock())
    budget.defer(lambda: None)
    assert budget.extend()
    budget.expect_step(round(LONGEST_TURN * 0.9 / BYTE_TIME))
    await asyncio.sleep(0)  # they run
    budget.defer(lambda: None)
    assert budget.extend()
    budget.expect_step(round(LONGEST_TURN * 0.7 / BYTE_TIME))
    assert not budget.extend()


@pytest.mark.parametrize("pace", [1.0, 2.0, 3.0])
async def test_the_time_of_full_turns_corrects_the_estimates(pace: float) -> None:
    """As many steps fit into a turn as its time allows on this machine, for any first estimate."""
    clock, processor_clock = Clock(), Clock()
    budget = TurnBudget(asyncio.get_running_loop(), clock, processor_clock)
    steps = 0.0
    assert budget.extend()
    for _ in range(100):
        budget.defer(lambda: None)  # another turn is counted
        steps = 0
        while budget.extend():
            budget.expect_step()
            steps += 1
        await asyncio.sleep(0)
        processor_clock.now += steps * STEP_TIME * pace
    assert steps == pytest.approx(LONGEST_TURN / (STEP_TIME * pace), abs=1.5)


async def test_work_of_another_kind_hardly_shortens_turns() -> None:
    processor_clock = Clock()
    budget = TurnBudget(asyncio.get_running_loop(), Clock(), processor_clock)
    budget.defer(lambda: None)
    budget.expect_step(200_000)
    while budget.extend():
        budget.expect_step()
    await asyncio.sleep(0)
    processor_clock.now += 10.0
    await asyncio.sleep(0)
    budget.defer(lambda: None)
    assert budget.extend()
    budget.expect_step(100_000)
    assert budget.extend()


async def test_the_bytes_that_a_task_translates_take_time_too() -> None:
    budget = TurnBudget(asyncio.get_running_loop(), Clock())
    assert budget.extend()
    budget.expect_step(1_000_000)
    assert not budget.extend()


async def test_a_read_that_fails_keeps_no_other_waiting() -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    budget = TurnBudget(loop)
    done = asyncio.Event()
    error = ValueError("this read")

    def fail() -> None:
        raise error

    spend(budget)
    budget.defer(fail)
    budget.defer(done.set)
    async with asyncio.timeout(5):
        await done.wait()
    assert failures == [error]


@pytest.mark.parametrize("spent", [False, True])
async def test_one_read_more_may_be_allowed(spent: bool) -> None:
    budget = TurnBudget(asyncio.get_running_loop())
    if spent:
        spend(budget)
    budget.allow()
    assert budget.left > 0


async def test_connections_of_one_loop_share_it() -> None:
    assert turn_budget() is turn_budget()
    assert await asyncio.to_thread(lambda: asyncio.run(_another())) is not turn_budget()


async def _another() -> TurnBudget:
    return turn_budget()
