"""What there is at the moment: counted when somebody asks, so that nothing has to be counted along the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as CounterMetric

from ...core.errors import SessionsUnavailable
from ..scheduling import Batch
from . import metric_definitions as names
from .metrics import Metrics
from .run_report import RunReport, Traffic

EVERY = 1.0
"""Seconds between two counts of a worker that may not be the one that is asked."""


class Locks(Protocol):
    """Sessions in which a run goes on."""

    @property
    def held(self) -> int: ...


class Store(Protocol):
    """Sessions that may be continued."""

    is_shared: ClassVar[bool]
    """Whether all workers count the same ones."""

    async def count(self) -> int: ...


class Counted(Protocol):
    """One gateway, as far as it is counted."""

    @property
    def locks(self) -> Locks: ...

    @property
    def store(self) -> Store: ...

    def counts(self) -> Counter[str]: ...


class Census:
    """Sets the gauges of this process, and the counters of what is counted elsewhere already."""

    def __init__(
        self,
        registry: CollectorRegistry,
        metrics: Metrics,
        reports: Batch[RunReport],
        *,
        traffic: Traffic,
        gateways: Sequence[Counted],
    ) -> None:
        """`reports`: of runs that are over, on their way to `metrics`."""
        self._metrics = metrics
        self._reports = reports
        self._traffic = traffic
        self._gateways = gateways
        self._running, self._waiting = names.RUNNING.gauge(registry), names.WAITING.gauge(registry)
        self._held, self._settling = names.HELD.gauge(registry), names.SETTLING.gauge(registry)
        self._closing = names.CLOSING.gauge(registry)
        self._recognisable = names.RECOGNISABLE.gauge(
            registry, same_in_all=any(each.store.is_shared for each in gateways)
        )
        self._cancelled = _Follower(names.CANCELLED.counter(registry))
        self._forgotten = _Follower(names.FORGOTTEN.counter(registry))
        self._unclosed = _Follower(names.UNCLOSED.counter(registry))
        self._reclosed = _Follower(metrics.retries.labels("close"))
        self._reconnected = _Follower(metrics.retries.labels("connect"))

    async def take(self) -> None:
        """Asks Redis too, where that is the store; what cannot be asked stays as it was."""
        self._reports.flush()
        self._metrics.settle()
        self._running.set(self._traffic.running)
        self._waiting.set(self._traffic.waiting)
        self._held.set(sum(each.locks.held for each in self._gateways))
        counts = sum((each.counts() for each in self._gateways), start=Counter[str]())
        self._settling.set(counts["settling"])
        self._closing.set(counts["closing"])
        self._cancelled.follow(counts["cancelled"])
        self._forgotten.follow(counts["forgotten"])
        self._unclosed.follow(counts["unclosed"])
        self._reclosed.follow(counts["reclosed"])
        self._reconnected.follow(counts["reconnected"])
        with contextlib.suppress(SessionsUnavailable):
            self._recognisable.set(sum([await each.store.count() for each in self._gateways]))

    async def keep_taking(self) -> None:
        """For as long as the process lives: another worker tells what this one has counted."""
        while True:
            await self.take()
            await asyncio.sleep(EVERY)


class _Follower:
    """A counter that follows a number which only grows."""

    def __init__(self, counter: CounterMetric) -> None:
        self._counter = counter
        self._seen = 0

    def follow(self, count: int) -> None:
        self._counter.inc(count - self._seen)
        self._seen = count
