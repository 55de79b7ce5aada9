"""Runs the agent once for a request and all its retries (decision D12).

An `Idempotency-Key` names a request; without one, the client's API may find a name in the body. The first request
starts the run in a task of its own; all requests read the shared answer. A client whose connection broke repeats its
request and gets the answer, live or complete. A run without readers is stopped after `idempotency_grace`, as if its
client had left. The answers are in the memory of one process; several processes that share a Redis claim their runs
there (`claimed_runs`), others need a load balancer that sends a key to the same one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiohttp import web

from ...api.protocol import RetryKey, RetryKeyReader, RetryRules
from ...config.settings import Config
from ...core.errors import IdempotencyFull, IdempotencyKeyReused, IdempotentAnswerGone, InternalError, ProxyError
from ..context import CONTEXT, Handler, server_of
from ..event_loop import LARGE_REQUEST, yield_control
from ..http.body import read_body
from ..runtime import RUNTIME
from .cache import HEADER, IdempotencyCache, check_key, fingerprint
from .claims import FOLLOWER_TTL
from .delivery import ANY_FORM, Form, deliver
from .recent_failures import RecentFailures
from .shared_answer import SharedAnswer, SharedSinkFactory, without_trace

log = logging.getLogger(__name__)

RETRY_GRACE = 8.0
"""Seconds at most that a run without an `Idempotency-Key` continues without a reader. Its client cannot say whether it
will come back: Codex does so within 4 s, and a person who stops it never.
"""


class IdempotentRuns:
    """The shared answers of one process, and the tasks that make them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(
            most=config.max_idempotent,
            largest=config.max_idempotent_answer,
            most_bytes=config.max_idempotent_bytes,
        )
        # state
        self._failures = RecentFailures()
        self._runs: dict[SharedAnswer, asyncio.Task[None]] = {}
        self._timers: dict[SharedAnswer, asyncio.TimerHandle] = {}
        """End a run without readers, or remove an answer after `idempotency_ttl`."""

    def wrap(self, handler: Handler, retries: RetryRules | None = None) -> Handler:
        """Returns a handler that passes requests on unchanged whose retries cannot be recognised."""

        async def run_once(request: web.Request) -> web.StreamResponse:
            key = request.headers.get(HEADER)
            if key is not None:
                return await self._answer_key(request, handler, check_key(key))
            if retries is not None:
                return await self._answer_retries(request, handler, retries)
            return await handler(request)

        return run_once

    async def shutdown(self) -> None:
        """Stops runs and timers at the end of the process."""
        for task in list(self._runs.values()):
            task.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs.values()))
        for timer in self._timers.values():
            timer.cancel()

    async def _answer_key(self, request: web.Request, handler: Handler, key: str) -> web.StreamResponse:
        """Raises IdempotencyKeyReused and IdempotencyFull."""
        context = request[CONTEXT]
        body = context.body = await read_body(request, timeout=request.app[RUNTIME].config.body_timeout)
        digest = _fingerprint(request, body)
        del body  # not for as long as the answer takes
        shared = self._find_or_start(request, handler, key, digest, grace=self._config.idempotency_grace)
        if shared.fingerprint != digest:
            raise IdempotencyKeyReused(f"This {HEADER} belongs to another request; give each request a key of its own.")
        return await self._deliver(request, shared)

    async def _answer_retries(self, request: web.Request, handler: Handler, retries: RetryRules) -> web.StreamResponse:
        retry_key = await _read_retry_key(request, retries.read_key)
        if retry_key is None:
            return await handler(request)
        digest = _fingerprint(request, retry_key.content)
        if retry_key.failures_only:
            del retry_key  # not for as long as the answer takes
            return await self._answer_unless_failed(request, handler, digest)
        form = Form(retry_key.stream, retries.convert)
        del retry_key
        key = f"retries of {digest.hex()}"  # no Idempotency-Key has spaces
        grace = min(self._config.idempotency_grace, RETRY_GRACE)
        try:
            shared = self._find_or_start(request, handler, key, digest, grace=grace)
        except IdempotencyFull:  # the request has no Idempotency-Key, so it is answered anyway
            return await handler(request)
        shared.is_retried_soon = True
        return await self._deliver(request, shared, form)

    async def _answer_unless_failed(self, request: web.Request, handler: Handler, digest: bytes) -> web.StreamResponse:
        """Raises the failure of an equal request just before, if the agent may have acted in its run."""
        scope = request[CONTEXT].caller.scope
        if (failure := self._failures.get(scope, digest, time.monotonic())) is not None:
            raise without_trace(failure)
        try:
            return await handler(request)
        except ProxyError as error:
            if error.should_retry is False:
                self._failures.add(scope, digest, error, time.monotonic())
            raise

    def _find_or_start(
        self, request: web.Request, handler: Handler, key: str, digest: bytes, *, grace: float
    ) -> SharedAnswer:
        """The answer of this key, or a new one. Raises IdempotencyFull."""
        context = request[CONTEXT]
        scope = context.caller.scope
        shared = self._cache.get(scope, key)
        if shared is None:
            return self._start(SharedAnswer(scope, key, digest, self._cache, grace=grace), request, handler)
        context.body = None  # not for as long as the answer takes
        return shared

    def _start(self, shared: SharedAnswer, request: web.Request, handler: Handler) -> SharedAnswer:
        removed = self._cache.add(shared)
        if removed is not None:
            self._stop_timer(removed)
        request[CONTEXT].sinks = SharedSinkFactory(shared)
        self._runs[shared] = asyncio.create_task(self._run(shared, request, handler), name="run once")
        return shared

    async def _run(self, shared: SharedAnswer, request: web.Request, handler: Handler) -> None:
        try:
            with server_of(request).shutdown.before_run:
                await handler(request)
            shared.fail(InternalError())  # a handler without an answer would leave the readers waiting
        except ProxyError as error:
            shared.fail(error)
        except asyncio.CancelledError:
            shared.fail(
                IdempotentAnswerGone(
                    "No client read the answer to this request for too long, so its run was stopped. "
                    "The agent is not run twice."
                )
            )
            raise
        except Exception:
            log.exception("%s: %s failed", request[CONTEXT].request_id, request.path)
            shared.fail(InternalError())
        finally:
            self._on_run_end(shared)

    def _on_run_end(self, shared: SharedAnswer) -> None:
        """Keeps the answer, and a failure after which the agent may have acted; other failures are removed, and copies:
        the process that made the answer keeps it.
        """
        del self._runs[shared]
        self._stop_timer(shared)
        if shared.is_copy or (shared.failure is not None and shared.failure.should_retry is not False):
            self._cache.remove(shared)
        else:
            self._call_later(self._config.idempotency_ttl, shared, self._cache.remove)

    async def _deliver(self, request: web.Request, shared: SharedAnswer, form: Form = ANY_FORM) -> web.StreamResponse:
        reader = shared.add_reader()
        if not shared.over:
            self._stop_timer(shared)
        try:
            return await deliver(request, shared, reader, form)
        finally:
            shared.remove_reader(reader)
            if not shared.over and not shared.buffer.has_readers:
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


async def _read_retry_key(request: web.Request, read_key: RetryKeyReader) -> RetryKey | None:
    """Reads the body for the handler, which also reports a failure."""
    context, config = request[CONTEXT], request.app[RUNTIME].config
    try:
        body = context.body = await read_body(request, timeout=config.body_timeout)
    except (ProxyError, ConnectionError, asyncio.CancelledError) as error:
        context.body = error
        return None
    if len(body) > LARGE_REQUEST:
        await yield_control()
    retry_key = read_key(body, request.headers, config.max_values)
    if len(body) > LARGE_REQUEST:
        await yield_control()
    return retry_key


def _fingerprint(request: web.Request, content: bytes) -> bytes:
    """Equal for requests with the same address, session and content."""
    session = request.headers.get("X-Session-Id", "")
    return fingerprint([request.path.encode(), session.encode("utf-8", "surrogateescape"), content])
