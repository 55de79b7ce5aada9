"""Budgets: admission, counting, and the time without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from oaicompat_proxy.core.budget import Budget, periods_at
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import BudgetExhausted, StoreUnavailable
from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.server.access import budgets as module
from oaicompat_proxy.server.access.budgets import Budgets
from oaicompat_proxy.server.access.usage_store import Count, RedisUsage, Subject
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]


def caller(*, user: str = "", of_user: Budget | None = None, **limits: int) -> Caller:
    known = Caller("app", "scope", budget=Budget(**limits), user_budget=of_user, counted=True)
    return known.for_user(user) if user else known


def used(tokens: int) -> Usage:
    return Usage(tokens - 1, 1, tokens)


async def run(budgets: Budgets, who: Caller, tokens: int | None = 1) -> None:
    charge, _ = await budgets.admit(who, estimate=100)
    await budgets.count_usage(charge, None if tokens is None else used(tokens))


async def counted(budgets: Budgets, user: str = "") -> Count:
    return (await budgets.usage(periods_at(time.time())[0])).get(Subject("app", user), Count())


async def test_tokens_are_counted_as_reported_or_as_the_estimate() -> None:
    budgets, who = Budgets(None), caller()
    await run(budgets, who, 7)
    assert await counted(budgets) == Count(7, 1)
    await run(budgets, who, None)
    assert await counted(budgets) == Count(107, 2)


async def test_a_budget_that_is_used_up_refuses_until_its_period_ends() -> None:
    budgets, who = Budgets(None), caller(tokens_per_day=10)
    await run(budgets, who, 9)
    await run(budgets, who, 500)  # nothing is cut off
    with pytest.raises(BudgetExhausted) as caught:
        await run(budgets, who)
    day = periods_at(time.time())[0]
    assert caught.value.retry_after == pytest.approx(day.ends - time.time(), abs=60)
    assert "10 tokens per day" in caught.value.message
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(day.ends)) in caught.value.message
    assert await counted(budgets) == Count(509, 2)
    assert budgets.counts == {("tokens", "app"): 509, ("runs", "app"): 2, ("refusals", "app"): 1}


async def test_each_user_has_a_budget_and_all_share_that_of_the_key() -> None:
    budgets, each = Budgets(None), Budget(runs_per_day=1)
    ada, bob = (caller(user=name, of_user=each, runs_per_day=3) for name in ("ada", "bob"))
    await run(budgets, ada)
    with pytest.raises(BudgetExhausted, match="user of this request"):
        await run(budgets, ada)
    await run(budgets, bob)
    await run(budgets, caller(of_user=each, runs_per_day=3))  # nobody's, so only the key's budget counts
    with pytest.raises(BudgetExhausted, match="This key"):
        await run(budgets, caller(user="eve", of_user=each, runs_per_day=3))


async def test_runs_that_go_on_count_as_the_estimate() -> None:
    budgets, who = Budgets(None), caller(tokens_per_day=250)
    charges = [(await budgets.admit(who, estimate=100))[0] for _ in range(3)]
    with pytest.raises(BudgetExhausted):
        await budgets.admit(who, estimate=100)
    for charge in charges:
        await budgets.count_usage(charge, used(1))
    await run(budgets, who)


async def test_an_incomplete_run_counts_as_the_estimate() -> None:
    budgets, who = Budgets(None), caller(runs_per_day=1, tokens_per_day=1000)
    for _ in range(3):
        charge, _ = await budgets.admit(who, estimate=100)
        budgets.end(charge, began=False)
        await budgets.close()
    assert await counted(budgets) == Count(0, 0)
    charge, _ = await budgets.admit(who, estimate=100)
    budgets.end(charge, began=True)
    await budgets.close()
    assert await counted(budgets) == Count(100, 1)


@pytest.mark.parametrize(("known", "tokens"), [(0, 100), (99, 100), (5000, 5000)])
async def test_an_incomplete_run_counts_at_least_what_is_known(known: int, tokens: int) -> None:
    budgets, who = Budgets(None), caller()
    charge, _ = await budgets.admit(who, estimate=100)
    budgets.end(charge, began=True, used=known)
    await budgets.close()
    assert await counted(budgets) == Count(tokens, 1)


class Held:
    """Holds a method of the store until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()
        method = getattr(RedisUsage, name)

        async def held(*arguments: Any) -> Any:
            self.reached.set()
            await self.goes_on.wait()
            return await method(*arguments)

        monkeypatch.setattr(RedisUsage, name, held)


async def leave(counting: Coroutine[Any, Any, object], held: Held) -> None:
    """The client leaves while Redis is asked."""
    task = asyncio.create_task(counting)
    await held.reached.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    held.goes_on.set()


async def test_usage_is_counted_although_the_client_leaves(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(redis_server.url) as redis:
        budgets = Budgets(redis)
        charge, _ = await budgets.admit(caller(), estimate=100)
        await leave(budgets.count_usage(charge, used(7)), Held(monkeypatch, "add"))
        budgets.end(charge, began=True)
        await budgets.close()
        assert await counted(budgets) == Count(7, 1)


@pytest.mark.parametrize("runs_per_day", [1, 2])
async def test_a_client_that_leaves_at_admission_is_not_counted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, runs_per_day: int
) -> None:
    async with connect(redis_server.url) as redis:
        budgets, who = Budgets(redis), caller(runs_per_day=runs_per_day, tokens_per_day=150)
        if runs_per_day == 1:  # it would have been refused, because of another process
            await run(Budgets(redis), who)
        runs = 1 if runs_per_day == 1 else 0
        await leave(budgets.admit(who, estimate=100), Held(monkeypatch, "begin"))
        await budgets.close()
        assert await counted(budgets) == Count(runs, runs)
        if not runs:
            await budgets.admit(who, estimate=100)  # nothing is pending


async def test_a_complete_answer_is_counted_once() -> None:
    budgets, who = Budgets(None), caller()
    charge, _ = await budgets.admit(who, estimate=100)
    await budgets.count_usage(charge, used(7))
    budgets.end(charge, began=True)
    await budgets.close()
    assert await counted(budgets) == Count(7, 1)


async def test_a_run_that_waited_goes_on_and_is_counted_once() -> None:
    budgets, who = Budgets(None), caller(runs_per_day=1)
    asks, _ = await budgets.admit(who, estimate=100)
    await budgets.count_usage(asks, None, waits=True)
    assert await counted(budgets) == Count(0, 1)
    rest, _ = await budgets.admit(who, estimate=100, resumes=True)
    await budgets.count_usage(rest, used(20))
    assert await counted(budgets) == Count(20, 1)


async def test_the_headers_tell_of_the_token_budget_with_the_least_left() -> None:
    budgets = Budgets(None)
    who = caller(user="ada", of_user=Budget(tokens_per_month=80), tokens_per_day=100, runs_per_day=3)
    await run(budgets, who, 30)
    _, left = await budgets.admit(who, estimate=0)
    assert left is not None
    assert (left.limit, left.remaining) == (80, 50)
    assert left.reset == pytest.approx(periods_at(time.time())[1].ends - time.time(), abs=60)
    assert (await Budgets(None).admit(caller(runs_per_day=3), estimate=0))[1] is None


async def test_the_day_after_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets, who, now = Budgets(None), caller(runs_per_day=1), time.time()
    await run(budgets, who)
    monkeypatch.setattr(module.time, "time", lambda: now + 24 * 3600)
    await run(budgets, who)
    with pytest.raises(BudgetExhausted):
        await run(budgets, who)


async def test_a_run_belongs_to_the_month_in_which_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets, who = Budgets(None), caller(tokens_per_month=50, runs_per_day=1)
    turn = periods_at(time.time())[1].ends
    monkeypatch.setattr(module.time, "time", lambda: turn - 0.5)
    charge, _ = await budgets.admit(who, estimate=10)
    with pytest.raises(BudgetExhausted, match=datetime.fromtimestamp(turn, UTC).strftime("%Y-%m-%dT00:00:00Z")):
        await budgets.admit(who, estimate=10)
    monkeypatch.setattr(module.time, "time", lambda: turn)
    await budgets.count_usage(charge, used(60))
    _, left = await budgets.admit(who, estimate=10)
    assert left is not None
    assert left.remaining == 50
    before, after = [await budgets.usage(periods_at(moment)[1]) for moment in (turn - 1, turn)]
    assert (before[Subject("app")], after[Subject("app")]) == (Count(60, 1), Count(0, 1))


async def test_processes_that_share_a_redis_share_the_counts(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as one, connect(redis_server.url) as two:
        first, second = Budgets(one), Budgets(two)
        await run(first, caller(runs_per_day=1), 5)
        with pytest.raises(BudgetExhausted):
            await run(second, caller(runs_per_day=1))
        assert await counted(second) == Count(5, 1)


async def test_without_redis_each_process_counts_alone(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        budgets, who = Budgets(redis), caller(runs_per_day=2)
        charge, _ = await budgets.admit(who, estimate=1)
        own_redis.stop()
        await budgets.count_usage(charge, used(3))
        await run(budgets, who, 5)
        assert await counted(budgets) == Count(8, 2)
        with pytest.raises(BudgetExhausted):
            await run(budgets, who)


async def test_many_requests_that_redis_does_not_answer_keep_the_budget(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have counted some of them; those that it did not answer are admitted by the process's own count."""
    async with connect(redis_server.url) as redis:
        budgets, who = Budgets(redis), caller(runs_per_day=3)
        await run(budgets, who)
        monkeypatch.setattr(RedisUsage, "begin", _unanswered)
        results = await asyncio.gather(*(budgets.admit(who, estimate=1) for _ in range(9)), return_exceptions=True)
        assert sum(isinstance(each, BudgetExhausted) for each in results) == 7
        await budgets.close()


async def _unanswered(*_: Any) -> tuple[int, list[int]]:
    await asyncio.sleep(0)
    raise StoreUnavailable("Redis did not answer in time")


def test_a_caller_for_a_user_keeps_its_budgets() -> None:
    known = caller(runs_per_day=1)
    assert replace(known.for_user("ada"), user="", scope=known.scope) == known
