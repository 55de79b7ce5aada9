"""Answers that several requests read: retries of a request (decision D12), and requests that name the answer by its id.

An `Idempotency-Key` names a request; without one, the client's API may find a name in the body. The first request
starts the run in a task of its own; all requests read the shared answer. A client whose connection broke repeats its
request and gets the answer, live or complete. An API may also keep an answer under its id: then a client can ask for
the rest of the events, or start a run in background and ask later. A run without readers is stopped after a grace
period, unless it is in background. The answers are in the memory of one process; processes that share a Redis claim
their runs there (`claimed_runs`), others need a load balancer that routes by key.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from weakref import WeakValueDictionary

from aiohttp import web

from ...api.protocol import ClientApi, Keeping
from ...config.settings import Config
from ...core.caller import Owner
from ...core.errors import (
    IdempotencyFull,
    IdempotencyKeyReused,
    IdempotentAnswerGone,
    InternalError,
    ProxyError,
)
from ..context import CONTEXT, Handler, server_of
from ..http.answer_id import new_answer_id
from ..runtime import RUNTIME
from .broadcast import BroadcastReader
from .cache import HEADER, IdempotencyCache, check_key
from .claims import FOLLOWER_TTL
from .delivery import ANY_FORM, Form, deliver, deliver_first_body
from .failed_requests import FailedRequests
from .kept_answer import KeptAnswer
from .process_life import ProcessLife
from .request_name import RequestName, name_by_body, name_by_key, read_keeping
from .shared_answer import SharedAnswer, events_gone, not_a_stream
from .shared_sinks import SharedSinkFactory
from .stored_outcome import encode_events

log = logging.getLogger(__name__)

NOT_READ = "No client read the answer to this request for too long, so its run was stopped. The agent is not run twice."


class IdempotentRuns:
    """The shared answers of one process, and the tasks that make them."""

    def __init__(self, config: Config, life: ProcessLife) -> None:
        self._config = config
        self._life = life
        self._cache = self._new_cache()
        """Answers to requests with a name."""
        self._kept = self._new_cache()
        """Kept answers to requests without a name; they must not evict the others."""
        # state
        self._failed = FailedRequests()
        self._runs: dict[SharedAnswer, asyncio.Task[None]] = {}
        self._timers: dict[SharedAnswer, asyncio.TimerHandle] = {}
        """Timers that stop a run without readers, or remove an answer after `idempotency_ttl`."""
        life.on_loss = self._restore_records
        self._by_id: WeakValueDictionary[tuple[str, str], SharedAnswer] = WeakValueDictionary()
        """Kept answers, by the scope of the caller and the answer's id."""

    def _new_cache(self) -> IdempotencyCache[SharedAnswer]:
        config = self._config
        return IdempotencyCache(
            max_entries=config.max_idempotent,
            max_size=config.max_idempotent_answer,
            max_bytes=config.max_idempotent_bytes,
        )

    def wrap(self, handler: Handler, api: ClientApi) -> Handler:
        """Returns a handler that shares answers; a request whose answer has a single reader is passed on unchanged."""
        retries = api.retries
        needs_key = not api.keeps_answers and (retries is None or bool(retries.header))
        header = HEADER if retries is None else retries.header

        async def run_once(request: web.Request) -> web.StreamResponse:
            key = request.headers.get(HEADER)
            if key is None and needs_key and header not in request.headers:
                return await handler(request)
            name = await (name_by_body(request, api) if key is None else name_by_key(request, check_key(key)))
            keeping = await read_keeping(request, api)
            if name is not None and name.failures_only:
                if not keeping.kept:
                    return await self._failed.answer(request, handler, name)
                name = None
            if name is None and not keeping.kept:
                return await handler(request)
            return await self._answer(request, handler, api, name, keeping)

        return run_once

    def find(self, scope: str, answer_id: str) -> SharedAnswer | None:
        """The answer of this id, if it was made in this process and its events may still be here."""
        return self._by_id.get((scope, answer_id))

    async def follow(self, request: web.Request, answer_id: str, skipped: int) -> web.StreamResponse:
        """Sends the events of a kept answer behind the first `skipped`, live. Raises InvalidRequest if it has none."""
        shared = self.find(request[CONTEXT].caller.scope, answer_id)
        if shared is None or not shared.buffer.is_replayable:
            raise events_gone()
        if shared.streamed is False:
            raise not_a_stream()
        return await self._deliver(request, shared, skipped=skipped)

    async def stop(self, scope: str, answer_id: str, reason: ProxyError) -> None:
        """Stops the run of the answer, if it is in this process; returns when its record is ended."""
        shared = self._by_id.get((scope, answer_id))
        task = self._runs.get(shared) if shared is not None else None
        if shared is None or task is None:
            return
        shared.stop_reason = reason
        task.cancel()
        await asyncio.wait([task])

    async def stop_runs(self) -> None:
        """Stops all runs at the end of the process; their readers get the end of their answers."""
        for task in list(self._runs.values()):
            task.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs.values()))

    def count(self, owner: Owner) -> int:
        """Number of this owner's answers whose runs are over."""
        return sum(len(each.ended_of(owner)) for each in (self._cache, self._kept))

    def remove(self, owner: Owner) -> int:
        """Removes these answers, and returns their number."""
        self._failed.remove(owner)
        removed = [entry for cache in (self._cache, self._kept) for entry in cache.ended_of(owner)]
        for entry in removed:
            self._stop_timer(entry)
            entry.cache.remove(entry)
        return len(removed)

    async def shutdown(self) -> None:
        """Stops the runs, and the timers."""
        await self.stop_runs()
        for timer in self._timers.values():
            timer.cancel()
        await self._life.end()

    async def _restore_records(self) -> None:
        """Stores the records of all running answers again, after the store has lost its data."""
        for shared in list(self._runs):
            if shared.kept is not None:
                await shared.kept.restore()

    async def _answer(
        self, request: web.Request, handler: Handler, api: ClientApi, name: RequestName | None, keeping: Keeping
    ) -> web.StreamResponse:
        """Sends the shared answer. Raises IdempotencyKeyReused, and IdempotencyFull if the request needs the cache."""
        try:
            shared = self._find_or_start(request, handler, api, name, keeping)
        except IdempotencyFull:
            if keeping.background or (name is not None and not name.optional):
                raise
            return await handler(request)
        if name is not None and shared.fingerprint != name.digest:
            raise IdempotencyKeyReused(f"This {HEADER} belongs to another request; give each request a key of its own.")
        shared.is_retried_soon = name is not None and name.optional
        if keeping.background and not keeping.stream:
            return await deliver_first_body(request, shared)
        return await self._deliver(request, shared, name.form if name is not None else ANY_FORM)

    def _find_or_start(
        self, request: web.Request, handler: Handler, api: ClientApi, name: RequestName | None, keeping: Keeping
    ) -> SharedAnswer:
        """The answer of this name, or a new one. Raises IdempotencyFull."""
        context = request[CONTEXT]
        scope = context.caller.scope
        shared = self._cache.get(scope, name.key) if name is not None else None
        if shared is not None:
            context.body = None  # must not stay in memory until the answer ends
            return shared
        answer_id = context.answer_id = new_answer_id(request, api)
        key, digest, grace, *_ = name or RequestName(f"answer {answer_id}", b"", 0)
        kept: KeptAnswer | None = None
        if keeping.kept:
            grace = math.inf if keeping.background else max(grace, self._config.response_grace)
            kept = context.kept = KeptAnswer(
                api,
                answer_id,
                scope,
                request.app[RUNTIME].stored_answers,
                self._life,
                background=keeping.background,
                reads_events=keeping.stream or not keeping.background,
            )
        cache = self._kept if name is None else self._cache
        shared = SharedAnswer(scope, key, digest, cache, grace=grace, kept=kept)
        removed = cache.add(shared)
        if removed is not None:
            self._stop_timer(removed)
        return self._start(shared, request, handler)

    def _start(self, shared: SharedAnswer, request: web.Request, handler: Handler) -> SharedAnswer:
        request[CONTEXT].sinks = SharedSinkFactory(shared)
        task = self._runs[shared] = asyncio.create_task(self._run(shared, request, handler), name="run once")
        if shared.kept is not None:
            self._by_id[shared.scope, shared.kept.id] = shared
            if shared.kept.background:
                server_of(request).shutdown.wait_for(task)
        return shared

    async def _run(self, shared: SharedAnswer, request: web.Request, handler: Handler) -> None:
        try:
            with server_of(request).shutdown.before_run:
                await handler(request)
            shared.fail(InternalError())  # no effect after an answer; without one, readers would wait forever
        except ProxyError as error:
            shared.fail(error)
        except asyncio.CancelledError:
            shared.fail(shared.stop_reason or IdempotentAnswerGone(NOT_READ))
            raise
        except Exception:
            log.exception("%s: %s failed", request[CONTEXT].request_id, request.path)
            shared.fail(InternalError())
        finally:
            if shared.kept is not None:
                await shared.kept.end(shared.failure, shared.encoder)
                if self._life.stores_events and (events := encode_events(shared)):
                    await shared.kept.store_events(events)
            self._on_run_end(shared)

    def _on_run_end(self, shared: SharedAnswer) -> None:
        """Keeps the answer, or a failure after which the agent may have acted. Other failures are removed, and so are
        copies, which the process that made the answer keeps.
        """
        del self._runs[shared]
        self._stop_timer(shared)
        if shared.is_copy or (shared.failure is not None and shared.failure.should_retry is not False):
            shared.cache.remove(shared)
        else:
            self._call_later(self._config.idempotency_ttl, shared, shared.cache.remove)

    async def _deliver(
        self, request: web.Request, shared: SharedAnswer, form: Form = ANY_FORM, *, skipped: int = 0
    ) -> web.StreamResponse:
        """Sends the shared answer. `skipped`: the number of events that the client has."""
        reader = self.add_reader(shared, skipped)
        try:
            return await deliver(request, shared, reader, form)
        finally:
            self.remove_reader(shared, reader)

    def add_reader(self, shared: SharedAnswer, skipped: int = 0) -> BroadcastReader:
        """Adds a reader behind the first `skipped` events; the run goes on for it. Raises IdempotentAnswerGone."""
        reader = shared.add_reader(skipped)
        if not shared.over:
            self._stop_timer(shared)
        return reader

    def remove_reader(self, shared: SharedAnswer, reader: BroadcastReader) -> None:
        """Removes a reader; without another one the run is stopped after its grace period."""
        shared.remove_reader(reader)
        if not (shared.over or shared.buffer.has_readers or shared.grace == math.inf):
            self._call_later(shared.next_grace(), shared, self._stop)

    def _stop(self, shared: SharedAnswer) -> None:
        if shared.is_followed():
            self._call_later(FOLLOWER_TTL, shared, self._stop)
        else:
            self._runs[shared].cancel()

    def _call_later(self, delay: float, shared: SharedAnswer, action: Callable[[SharedAnswer], None]) -> None:
        def due() -> None:
            del self._timers[shared]
            action(shared)

        self._stop_timer(shared)
        self._timers[shared] = asyncio.get_running_loop().call_later(delay, due)

    def _stop_timer(self, shared: SharedAnswer) -> None:
        timer = self._timers.pop(shared, None)
        if timer is not None:
            timer.cancel()
