"""Gauges, computed at scrape time instead of being updated on every change."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from prometheus_client import CollectorRegistry

from ...core.errors import StoreUnavailable
from . import metric_definitions as names
from .metrics import Metrics
from .run_report import RunCounts

UPDATE_INTERVAL = 1.0
"""Seconds between two updates of a worker. Another worker may be the one that is scraped."""


class Locks(Protocol):
    """Locks of sessions."""

    @property
    def held(self) -> int: ...


class Store(Protocol):
    """Sessions whose conversations can be continued."""

    is_shared: ClassVar[bool]
    """Whether all workers have the same sessions."""

    async def count(self) -> int: ...


class CountedGateway(Protocol):
    @property
    def locks(self) -> Locks: ...

    @property
    def store(self) -> Store: ...

    def counts(self) -> Counter[str]:
        """Counts of sessions and connections, by the names that `Gauges.update` reads."""


class CountedBudgets(Protocol):
    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Counts by `tokens`, `runs` or `refusals`, and the key's name; they never decrease."""


class Incremented(Protocol):
    """A counter."""

    def inc(self, amount: float, /) -> None: ...


class Gauges:
    """The gauges of this process, and counters of which other objects keep the counts."""

    def __init__(
        self,
        registry: CollectorRegistry,
        metrics: Metrics,
        *,
        runs: RunCounts,
        gateways: Sequence[CountedGateway],
        budgets: CountedBudgets,
    ) -> None:
        self._metrics = metrics
        self._runs = runs
        self._gateways = gateways
        self._running, self._waiting = names.RUNNING.gauge(registry), names.WAITING.gauge(registry)
        self._locked, self._finalizing = names.LOCKED.gauge(registry), names.FINALIZING.gauge(registry)
        self._closing = names.CLOSING.gauge(registry)
        self._recognisable = names.RECOGNISABLE.gauge(
            registry, same_in_all=any(each.store.is_shared for each in gateways)
        )
        self._budgets = budgets
        self._of_budgets = {
            "tokens": names.BUDGET_TOKENS.counter(registry),
            "runs": names.BUDGET_RUNS.counter(registry),
            "refusals": names.BUDGET_REFUSALS.counter(registry),
        }
        self._of_keys: dict[tuple[str, str], CounterDelta] = {}
        """One for each name in the keys file that has a budget."""
        self._cancelled = CounterDelta(names.CANCELLED.counter(registry))
        self._forgotten = CounterDelta(names.FORGOTTEN.counter(registry))
        self._close_failures = CounterDelta(names.CLOSE_FAILURES.counter(registry))
        self._close_retries = CounterDelta(metrics.retries.labels("close"))
        self._connect_retries = CounterDelta(metrics.retries.labels("connect"))

    async def update(self) -> None:
        """Updates the gauges, and flushes the counts of runs. If Redis fails, its gauge does not change."""
        self._running.set(self._runs.running)
        self._waiting.set(self._runs.waiting)
        self._locked.set(sum(each.locks.held for each in self._gateways))
        counts = sum((each.counts() for each in self._gateways), start=Counter[str]())
        self._finalizing.set(counts["finalizing"])
        self._closing.set(counts["closing"])
        self._cancelled.update_to(counts["cancelled"])
        self._forgotten.update_to(counts["forgotten"])
        self._close_failures.update_to(counts["close failures"])
        self._close_retries.update_to(counts["close retries"])
        self._connect_retries.update_to(counts["connect retries"])
        for (what, key), count in self._budgets.counts.items():
            if (what, key) not in self._of_keys:
                self._of_keys[what, key] = CounterDelta(self._of_budgets[what].labels(key))
            self._of_keys[what, key].update_to(count)
        self._metrics.flush()
        with contextlib.suppress(StoreUnavailable):
            self._recognisable.set(sum([await each.store.count() for each in self._gateways]))

    async def update_forever(self) -> None:
        """Needed with several workers: the worker that is scraped reads the gauges of all workers from files."""
        while True:
            await self.update()
            await asyncio.sleep(UPDATE_INTERVAL)


class CounterDelta:
    """A counter whose count another object keeps."""

    def __init__(self, counter: Incremented) -> None:
        self._counter = counter
        self._seen = 0

    def update_to(self, count: int) -> None:
        self._counter.inc(count - self._seen)
        self._seen = count
