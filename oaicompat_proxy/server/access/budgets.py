"""Budgets of keys and of their users: a run begins only if none is used up, and no running answer is cut off.

Tokens are counted as the agent reports them, when the answer is complete. Until then a run counts as an estimate, in
its own process, so that concurrent runs exceed a budget by little.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from ...core.budget import Period, periods_at
from ...core.caller import Caller
from ...core.errors import BudgetExhausted, StoreUnavailable
from ...core.events import Usage
from ..shared_storage.redis_client import REDIS_RETRY_AFTER
from .usage_store import Check, Count, MemoryUsage, RedisUsage, Subject, UsageStore

if TYPE_CHECKING:
    from ..shared_storage.bounded_redis import BoundedRedis

log = logging.getLogger(__name__)


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
    """Counts usage in Redis for all processes that share it; without Redis each process counts alone."""

    def __init__(self, redis: BoundedRedis | None) -> None:
        self._own = MemoryUsage()
        self._shared = RedisUsage(redis) if redis is not None else None
        # state
        self.counts: Counter[tuple[str, str]] = Counter()
        """Counts by `tokens`, `runs` or `refusals`, and the key's name."""
        self._redis_retry_at = 0.0
        self._going_on: Counter[Subject] = Counter()
        """Runs whose usage is not counted yet."""
        self._tasks: set[asyncio.Task[None]] = set()

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
            self._release(subjects)
            self.counts["refusals", caller.name] += 1
            raise _exhausted(checks[refused], now)
        return charge, _least_left(checks, used, now)

    async def _begin(self, charge: Charge, checks: Sequence[Check]) -> tuple[int, list[int]]:
        try:
            return await charge.store.begin(checks, charge.subjects, charge.periods)
        except StoreUnavailable:
            charge.store = self._fall_back()
            return await charge.store.begin(checks, charge.subjects, charge.periods)
        except BaseException:
            self._release(charge.subjects)
            raise

    async def count_usage(self, charge: Charge, usage: Usage | None, *, waits: bool = False) -> None:
        """Counts the usage of a complete answer. `waits`: the run continues with another request, which counts it."""
        if not charge.is_counted:
            unknown = 0 if waits else charge.estimate
            await self._add(charge, Count(tokens=unknown if usage is None else usage.total_tokens))

    def end(self, charge: Charge, *, began: bool) -> None:
        """Ends a charge that was not counted: an incomplete answer counts as the estimate, and a run that never began
        does not count.
        """
        if charge.is_counted:
            return
        added = Count(tokens=charge.estimate) if began else Count(runs=-charge.runs)
        task = asyncio.create_task(self._add(charge, added), name="count usage")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        try:
            await charge.store.add(charge.subjects, charge.periods, added)
        except StoreUnavailable:
            await self._fall_back().add(charge.subjects, charge.periods, added)

    def _release(self, subjects: Sequence[Subject]) -> None:
        self._going_on.subtract(subjects)
        for subject in subjects:
            if not self._going_on[subject]:
                del self._going_on[subject]

    def _store(self) -> UsageStore:
        if self._shared is None or asyncio.get_running_loop().time() < self._redis_retry_at:
            return self._own
        return self._shared

    def _fall_back(self) -> UsageStore:
        self._redis_retry_at = asyncio.get_running_loop().time() + REDIS_RETRY_AFTER
        log.warning("budgets: Redis cannot be reached, so each process counts alone")
        return self._own


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
