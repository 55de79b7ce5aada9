"""State of a gateway that survives a configuration reload: limiter, locks, sessions, idempotency cache, counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ..config.per_model import ModelOverrides
from ..config.settings import Config
from ..core.signing import SigningKeys
from .answer_stores.answer_database import AnswerDatabase
from .answer_stores.memory_answers import MemoryAnswers
from .answer_stores.redis_answers import RedisAnswers
from .answer_stores.stored_answers import Bounds, NoAnswers, StoredAnswers
from .idempotency.claimed_runs import ClaimedRuns, Claims
from .idempotency.claims import RedisClaims
from .idempotency.foreign_readers import ForeignReaders
from .idempotency.kept_answer import events_of
from .idempotency.kept_answers import KeptAnswers
from .idempotency.kept_runs import AnswerData, ClaimData
from .idempotency.process_life import ProcessLife
from .idempotency.remote_answers import RemoteAnswers
from .idempotency.run_once import IdempotentRuns
from .idempotency.stored_claims import RUNNING_TTL, StoredClaims, claims_of
from .kept_data import KeptData, StoredEntries
from .runtime import GatewayRuntime
from .sessions.call_ids import CallIds
from .sessions.id_store import IdStore, MemoryIds, RedisIds
from .sessions.kept_sessions import SessionData
from .sessions.locks import MemoryLocks, SessionLocks
from .sessions.named_sessions import MemoryNames, RedisNames, SessionNames
from .sessions.redis_locks import RedisLocks
from .sessions.run_limiter import RunLimiter
from .sessions.sessions import Sessions
from .sessions.store import MemoryStore, RedisStore, SessionStore
from .shared_storage.process_calls import ProcessCalls
from .shutdown import ERROR_TIMEOUT
from .upstream.catalog import Catalog
from .upstream.gateway_client import Upstream
from .upstream.readiness import Readiness
from .upstream.session_closer import GatewaySessionCloser, NullCloser, SessionCloser

if TYPE_CHECKING:
    from redis.asyncio import Redis

NAMES_PER_SESSION = 10
"""Session names of clients that are stored for each session of the store. An entry holds only a name."""


class Gateway:
    """One agent gateway, for the lifetime of the process."""

    def __init__(
        self, config: Config, keys: SigningKeys, redis: Redis | None, *, namespace: str = "", address: str = ""
    ) -> None:
        """`redis`: shares sessions with other workers; None: sessions are in this process.

        `namespace`: prefix of this gateway's keys in Redis. `address`: the gateway's, if it is not `config.upstream`.
        """
        self._address = address
        self.limiter = RunLimiter(config)
        self._answers = _new_answers(config, redis)
        self._stores: list[StoredAnswers] = [self._answers]
        place = config.response_db or ("memory" if redis is None else "redis")
        self.kept_data: list[KeptData] = [StoredEntries("stored_responses", place, self._answers)]
        """The kinds of data that this gateway keeps of callers."""
        self._session_credentials: dict[str, Upstream] = {}
        """Sessions that only the credentials of their callers can close."""
        self.locks, self._ids, self.store, self._names = _new_session_stores(config, redis, namespace)
        self.kept_data.append(SessionData(self.store, self._names, self._close_session))
        self._share_runs(config, redis, namespace)
        # state
        self.runtime = self.new_runtime(config, keys)
        """The runtime for new requests."""
        self._sweeping: asyncio.Task[None] | None = None
        self._draining: dict[asyncio.Task[None], GatewayRuntime] = {}
        self._retired_counts: Counter[str] = Counter()
        """The counts of runtimes that were replaced and are drained."""

    def _share_runs(self, config: Config, redis: Redis | None, namespace: str) -> None:
        """Sets up answers that several requests read; with Redis also requests that reach other processes."""
        life = ProcessLife(
            self._answers,
            events_ttl=config.idempotency_ttl if redis or config.response_db else 0,
            stores_events=bool(config.response_db),
        )
        self.once = IdempotentRuns(config, life)
        self.kept_data.append(AnswerData(self.once))
        self._readers = ForeignReaders(self.once)
        self._calls = ProcessCalls(redis, life.process, self._readers.answer) if redis else None
        if self._calls is not None:
            life.on_begin = self._calls.listen
        remote = RemoteAnswers(self._calls, self._answers, life)
        self.kept = KeptAnswers(self.once, self._answers, life, remote)
        claims: Claims | None = None
        if redis is not None:
            claims = in_redis = RedisClaims(redis, namespace)
            self.kept_data.append(ClaimData(in_redis))
        elif config.response_db:
            stored = AnswerDatabase(Path(config.response_db), Bounds(config.max_idempotent, RUNNING_TTL))
            claims = StoredClaims(stored, life, namespace)
            self._stores.append(stored)
            self.kept_data.append(StoredEntries("stored_events", config.response_db, self._answers, events_of))
            self.kept_data.append(StoredEntries("run_claims", config.response_db, stored, claims_of))
        self.claims = ClaimedRuns(config, claims, remote)

    def new_runtime(self, config: Config, keys: SigningKeys) -> GatewayRuntime:
        """Builds a runtime on this gateway's state; nothing changes before `activate`."""
        upstream = Upstream(config, self._address or config.upstream)
        catalog = Catalog.for_gateway(upstream, config)
        closer = self._new_closer(config, upstream)
        sessions = Sessions(
            *(upstream, config, keys),
            limiter=self.limiter,
            closer=closer,
            locks=self.locks,
            store=self.store,
            names=self._names,
        )
        return GatewayRuntime(
            config=config,
            per_model=ModelOverrides(config),
            signing_keys=keys,
            upstream=upstream,
            catalog=catalog,
            readiness=Readiness(catalog.check),
            sessions=sessions,
            closer=closer,
            call_ids=CallIds(keys, self._ids),
            stored_answers=self._answers if config.responses == "stored" else NoAnswers(),
            limiter=self.limiter,
        )

    def start(self) -> None:
        """Starts the background tasks. Needs a running event loop."""
        self.locks.open()
        self._sweep()

    def activate(self, runtime: GatewayRuntime) -> None:
        """Serves new requests with `runtime`. Requests in flight finish with the runtime they began with."""
        replaced, self.runtime = self.runtime, runtime
        task = asyncio.create_task(replaced.drain(), name="drain gateway runtime")
        self._draining[task] = replaced
        task.add_done_callback(self._retire)
        self._sweep()

    def counts(self) -> Counter[str]:
        """The counts of all runtimes since the process started."""
        total = self._retired_counts.copy()
        for runtime in (self.runtime, *self._draining.values()):
            total.update(runtime.counts())
        return total

    async def shutdown(self) -> None:
        """Stops background tasks and closes sessions and connections."""
        tasks = [*self._draining, *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.once.stop_runs()
        if self._calls is not None:
            await self._readers.until_read(ERROR_TIMEOUT)
            await self._calls.close()
        await self.once.shutdown()
        await self.claims.shutdown()
        await self.runtime.sessions.shutdown()
        await self.locks.close()
        for store in self._stores:
            await store.close()
        self.runtime.upstream.close()

    def _new_closer(self, config: Config, upstream: Upstream) -> SessionCloser:
        gateway = upstream.dialect.gateway
        if gateway is None:
            return NullCloser()
        return GatewaySessionCloser(
            upstream, gateway, close_timeout=config.close_timeout, session_upstreams=self._session_credentials
        )

    def _close_session(self, key: str) -> None:
        """Closes a session through the current runtime."""
        self.runtime.closer.close_soon(key)

    def _sweep(self) -> None:
        """Closes expired sessions through the current runtime."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = asyncio.create_task(self.runtime.sessions.sweep(), name="sweep sessions")

    def _retire(self, task: asyncio.Task[None]) -> None:
        self._retired_counts.update(self._draining.pop(task).counts())


def _new_session_stores(
    config: Config, redis: Redis | None, namespace: str
) -> tuple[SessionLocks, IdStore, SessionStore, SessionNames]:
    ttl, size = config.session_ttl, config.max_sessions
    max_names = size * NAMES_PER_SESSION
    if redis is None:
        return MemoryLocks(), MemoryIds(), MemoryStore(ttl=ttl, size=size), MemoryNames(size=max_names)
    store, names = RedisStore(redis, namespace, ttl=ttl, size=size), RedisNames(redis, namespace, size=max_names)
    return RedisLocks(redis), RedisIds(redis), store, names


def _new_answers(config: Config, redis: Redis | None) -> StoredAnswers:
    """Raises ConfigError."""
    bounds = Bounds(config.max_responses, config.response_ttl)
    if config.response_db:
        return AnswerDatabase(Path(config.response_db), bounds, local=MemoryAnswers(bounds))
    return MemoryAnswers(bounds) if redis is None else RedisAnswers(redis, bounds)


GATEWAYS: web.AppKey[Sequence[Gateway]] = web.AppKey("oaicompat_proxy.gateways")
