"""Budgets of keys and of their users: a run begins only if none is used up, and no running answer is cut off.

Tokens are counted as the agent reports them, when the answer is complete. Until then a run counts as an estimate, in
its own process, so that concurrent runs exceed a budget by little.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ...core.budget import Period, periods_at
from ...core.caller import Caller
from ...core.errors import BudgetExhausted, StoreUnavailable
from ...core.events import Usage
from ..shared_storage.redis_client import REDIS_RETRY_AFTER
from .usage_store import Check, Count, MemoryUsage, RedisUsage, Subject, UsageStore

if TYPE_CHECKING:
    from ..shared_storage.bounded_redis import BoundedRedis

log = logging.getLogger(__name__)

T = TypeVar("T")


class TokenLimit(NamedTuple):
    """The token budget with the fewest tokens left."""

    limit: int
    remaining: int
    reset: float
    """Seconds until the budget's next period."""


class Charge:
    """The usage of one request, from its admission to its end."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        periods: tuple[Period, Period],
        store: UsageStore,
        *,
        estimate: int,
        runs: int,
    ) -> None:
        """`runs`: number of runs counted at admission; 0 for a request that resumes a waiting run."""
        self.subjects = subjects
        self.periods = periods
        self.store = store
        self.estimate = estimate
        self.runs = runs
        # state
        self.is_counted = False


class Budgets:
    """Counts usage in Redis for all processes that share it. Each process also counts its own, for when Redis fails."""

    def __init__(self, redis: BoundedRedis | None) -> None:
        self._own = MemoryUsage()
        self._shared = RedisUsage(redis) if redis is not None else None
        # state
        self.counts: Counter[tuple[str, str]] = Counter()
        """Counts by `tokens`, `runs` or `refusals`, and the key's name."""
        self._redis_retry_at = 0.0
        self._going_on: Counter[Subject] = Counter()
        """Runs whose usage is not counted yet."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def admit(self, caller: Caller, *, estimate: int, resumes: bool = False) -> tuple[Charge, TokenLimit | None]:
        """Counts a run. `estimate`: tokens of a run that reports no usage. `resumes`: the request continues a waiting
        run, which is always admitted. Raises BudgetExhausted.
        """
        now = time.time()
        periods = periods_at(now)
        subjects = [Subject(caller.name), *([Subject(caller.name, caller.user)] if caller.user else [])]
        checks = list(self._checks(caller, periods, estimate))
        charge = Charge(subjects, periods, self._store(), estimate=estimate, runs=0 if resumes else 1)
        self._going_on.update(subjects)
        if resumes:
            return charge, None
        refused, used = await self._begin(charge, checks)
        if refused >= 0:
            self.counts["refusals", caller.name] += 1
            raise _exhausted(checks[refused], now)
        return charge, _least_left(checks, used, now)

    async def _begin(self, charge: Charge, checks: Sequence[Check]) -> tuple[int, list[int]]:
        """Returns what `UsageStore.begin` returns. If the client leaves meanwhile, no run is counted."""
        if charge.store is self._own:
            return await self._begin_in_store(charge, checks)
        beginning = self._start(self._begin_in_store(charge, checks))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._start(self._undo(charge, beginning))
            raise

    async def _begin_in_store(self, charge: Charge, checks: Sequence[Check]) -> tuple[int, list[int]]:
        """The process's own count comes first: it is never above that of Redis, and holds if Redis does not answer, as
        to many requests at once.
        """
        refused = 0
        try:
            refused, used = await self._own.begin(checks, charge.subjects, charge.periods)
            if refused < 0 and charge.store is not self._own:
                try:
                    refused, used = await charge.store.begin(checks, charge.subjects, charge.periods)
                except StoreUnavailable:
                    charge.store = self._fall_back()
                if refused >= 0:
                    await self._own.add(charge.subjects, charge.periods, Count(runs=-1))
        finally:
            if refused >= 0:
                self._release(charge.subjects)
        return refused, used

    async def _undo(self, charge: Charge, beginning: asyncio.Task[tuple[int, list[int]]]) -> None:
        refused, _ = await beginning
        if refused < 0:
            await self._add(charge, Count(runs=-charge.runs))

    async def count_usage(self, charge: Charge, usage: Usage | None, *, waits: bool = False) -> None:
        """Counts the usage of a complete answer, also if the client leaves meanwhile. `waits`: the run continues with
        another request, which counts it.
        """
        if not charge.is_counted:
            unknown = 0 if waits else charge.estimate
            counting = self._add(charge, Count(tokens=unknown if usage is None else usage.total_tokens))
            await (counting if charge.store is self._own else asyncio.shield(self._start(counting)))

    def end(self, charge: Charge, *, began: bool, used: int = 0) -> None:
        """Ends a charge that was not counted: an incomplete answer counts as the estimate, or as `used` tokens if these
        are more, and a run that never began does not count.
        """
        if not charge.is_counted:
            self._start(self._add(charge, _of_incomplete(charge, began=began, used=used)))

    async def usage(self, period: Period) -> Mapping[Subject, Count]:
        """Raises StoreUnavailable."""
        return await self._store().counts(period)

    async def close(self) -> None:
        """Waits until all usage is counted."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _checks(self, caller: Caller, periods: Sequence[Period], estimate: int) -> Iterator[Check]:
        of_user = caller.user_budget if caller.user else None
        for subject, budget in ((Subject(caller.name), caller.budget), (Subject(caller.name, caller.user), of_user)):
            for period, unit, limit in budget.limits(periods) if budget is not None else ():
                pending = self._going_on[subject] * estimate if unit == "tokens" else 0
                yield Check(period, unit, subject, limit, pending)

    async def _add(self, charge: Charge, added: Count) -> None:
        charge.is_counted = True
        self._release(charge.subjects)
        self.counts["tokens", charge.subjects[0].key] += added.tokens
        self.counts["runs", charge.subjects[0].key] += charge.runs + added.runs
        await self._own.add(charge.subjects, charge.periods, added)
        if charge.store is not self._own:
            try:
                await charge.store.add(charge.subjects, charge.periods, added)
            except StoreUnavailable:
                self._fall_back()

    def _release(self, subjects: Sequence[Subject]) -> None:
        self._going_on.subtract(subjects)
        for subject in subjects:
            if not self._going_on[subject]:
                del self._going_on[subject]

    def _start(self, counting: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Counts in a task, which a client that leaves does not cancel."""
        task = asyncio.create_task(counting, name="count usage")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _store(self) -> UsageStore:
        if self._shared is None or asyncio.get_running_loop().time() < self._redis_retry_at:
            return self._own
        return self._shared

    def _fall_back(self) -> UsageStore:
        self._redis_retry_at = asyncio.get_running_loop().time() + REDIS_RETRY_AFTER
        log.warning("budgets: Redis cannot be reached, so each process counts alone")
        return self._own


def _of_incomplete(charge: Charge, *, began: bool, used: int) -> Count:
    return Count(tokens=max(charge.estimate, used)) if began else Count(runs=-charge.runs)


def _least_left(checks: Sequence[Check], used: Sequence[int], now: float) -> TokenLimit | None:
    tokens = [(check, count) for check, count in zip(checks, used, strict=True) if check.unit == "tokens"]
    if not tokens:
        return None
    check, count = min(tokens, key=lambda each: each[0].limit - each[1])
    return TokenLimit(check.limit, max(0, check.limit - count), check.period.ends - now)


def _exhausted(check: Check, now: float) -> BudgetExhausted:
    whose = "The user of this request has" if check.subject.user else "This key has"
    ends = f"{datetime.fromtimestamp(check.period.ends, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return BudgetExhausted(
        f"{whose} used up the budget of {check.limit} {check.unit} per {check.period.kind}. It begins anew at {ends}.",
        retry_after=max(1.0, check.period.ends - now),
    )
