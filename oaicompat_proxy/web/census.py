"""What there is at the moment: counted when somebody asks, so that nothing has to be counted along the way."""

from __future__ import annotations

import asyncio
import contextlib

from prometheus_client import CollectorRegistry, Counter

from ..errors import SessionsUnavailable
from . import metric_names as names
from .closing import Closing
from .run_report import Traffic
from .session_locks import SessionLocks
from .session_store import RedisStore, SessionStore
from .sessions import Sessions
from .upstream import Upstream

EVERY = 1.0
"""Seconds between two counts of a worker that may not be the one that is asked."""


class Census:
    """Sets the gauges of this process, and the counters of what is counted elsewhere already."""

    def __init__(
        self,
        registry: CollectorRegistry,
        retries: Counter,
        *,
        upstream: Upstream,
        traffic: Traffic,
        sessions: Sessions,
        closer: Closing,
        locks: SessionLocks,
        store: SessionStore | None,
    ) -> None:
        """`retries`: where repeated connects and closes are counted, among other things."""
        self._upstream = upstream
        self._traffic = traffic
        self._sessions = sessions
        self._closer = closer
        self._locks = locks
        self._store = store
        self._running, self._waiting = names.RUNNING.gauge(registry), names.WAITING.gauge(registry)
        self._held, self._settling = names.HELD.gauge(registry), names.SETTLING.gauge(registry)
        self._closing = names.CLOSING.gauge(registry)
        self._recognisable = names.RECOGNISABLE.gauge(registry, same_in_all=isinstance(store, RedisStore))
        self._cancelled = _Follower(names.CANCELLED.counter(registry))
        self._unclosed = _Follower(names.UNCLOSED.counter(registry))
        self._reclosed = _Follower(retries.labels("close"))
        self._reconnected = _Follower(retries.labels("connect"))

    async def take(self) -> None:
        """Asks Redis too, where that is the store; what cannot be asked stays as it was."""
        self._running.set(self._traffic.running)
        self._waiting.set(self._traffic.waiting)
        self._held.set(self._locks.held)
        self._settling.set(len(self._sessions.settling))
        self._closing.set(self._closer.unfinished)
        self._cancelled.follow(self._sessions.cancelled)
        self._unclosed.follow(self._closer.failed)
        self._reclosed.follow(self._closer.retried)
        self._reconnected.follow(self._upstream.reconnects)
        if self._store is not None:
            with contextlib.suppress(SessionsUnavailable):
                self._recognisable.set(await self._store.count())

    async def keep_taking(self) -> None:
        """For as long as the process lives: another worker tells what this one has counted."""
        while True:
            await self.take()
            await asyncio.sleep(EVERY)


class _Follower:
    """A counter that follows a number which only grows."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen = 0

    def follow(self, count: int) -> None:
        self._counter.inc(count - self._seen)
        self._seen = count
