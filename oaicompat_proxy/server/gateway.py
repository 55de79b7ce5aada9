"""What belongs to one gateway and outlasts a change of its settings: who waits, who holds which session, which answers
are kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from ..config.settings import Config
from .idempotency.run_once import RunOnce
from .sessions.id_store import IdStore, MemoryIds, RedisIds
from .sessions.locks import MemoryLocks, SessionLocks
from .sessions.named_sessions import MemoryNames, RedisNames, SessionNames
from .sessions.redis_locks import RedisLocks
from .sessions.run_limiter import RunLimiter
from .sessions.sessions import Sessions
from .sessions.store import MemoryStore, RedisStore, SessionStore
from .upstream.catalog import Catalog
from .upstream.gateway_client import Upstream
from .upstream.session_closer import Closing

if TYPE_CHECKING:
    from redis.asyncio import Redis

NAMES_PER_SESSION = 10
"""Session names of clients that are remembered, for each session that may be kept: a name is all that is held."""

LOOK_AGAIN = 1.0
"""Seconds between looks whether the last run under old settings is over."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway as it is used under certain settings."""

    upstream: Upstream
    catalog: Catalog
    sessions: Sessions
    closer: Closing

    def counts(self) -> dict[str, int]:
        return {
            "settling": len(self.sessions.settling),
            "cancelled": self.sessions.cancelled,
            "forgotten": self.sessions.forgotten,
            "closing": self.closer.unfinished,
            "unclosed": self.closer.failed,
            "reclosed": self.closer.retried,
            "reconnected": self.upstream.reconnects,
        }

    async def see_off(self) -> None:
        """Returns when the last of its runs is over, or earlier if it is cancelled."""
        try:
            await asyncio.sleep(LOOK_AGAIN)
            while self.sessions.busy:  # noqa: ASYNC110 -- to be told of the end would cost every request
                await asyncio.sleep(LOOK_AGAIN)
        finally:
            await self.sessions.retire()
            self.upstream.close()


class Lasting:
    """Of one gateway, for as long as the process lives."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.limiter = RunLimiter(config)
        self.once = RunOnce(config)
        # moving
        self.locks: SessionLocks = MemoryLocks()
        self.store: SessionStore
        self.names: SessionNames
        self.ids: IdStore = MemoryIds()
        self.speakers: dict[str, Upstream] = {}
        """Kept sessions that only their callers' credentials can close."""
        self._now: Serving | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._retiring: dict[asyncio.Task[None], Serving] = {}
        self._past: Counter[str] = Counter()
        """What was counted under settings that are forgotten."""

    def open(self, redis: Redis | None, space: str) -> None:
        """`redis`: where sessions are shared with other workers; None for this process alone. `space`: in it."""
        ttl, size = self._config.session_ttl, self._config.max_sessions
        names = size * NAMES_PER_SESSION
        if redis is None:
            self.store = MemoryStore(ttl=ttl, size=size)
            self.names = MemoryNames(size=names)
        else:
            self.locks = locks = RedisLocks(redis)
            locks.open()
            self.ids = RedisIds(redis)
            self.store = RedisStore(redis, space, ttl=ttl, size=size)
            self.names = RedisNames(redis, space, size=names)

    def use(self, serving: Serving) -> None:
        """From now on. Runs that began before end as they began."""
        if self._now is not None:
            task = asyncio.create_task(self._now.see_off(), name="retire gateway")
            self._retiring[task] = self._now
            task.add_done_callback(self._forget)
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._now = serving
        self._sweeping = asyncio.create_task(serving.sessions.sweep(), name="sweep sessions")

    @property
    def now(self) -> Serving:
        assert self._now is not None
        return self._now

    def counts(self) -> Counter[str]:
        """What there is at the moment, and what there was so far."""
        total = self._past.copy()
        for serving in (self.now, *self._retiring.values()):
            total.update(serving.counts())
        return total

    async def settle(self) -> None:
        """At the end of the process."""
        assert self._sweeping is not None
        retiring = list(self._retiring)
        for task in (self._sweeping, *retiring):
            task.cancel()
        await asyncio.wait([self._sweeping, *retiring])
        await self.once.settle()
        await self.now.sessions.settle()
        await self.locks.close()
        self.now.upstream.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._past.update(self._retiring.pop(task).counts())


LASTING = web.AppKey("oaicompat_proxy.lasting", Lasting)
