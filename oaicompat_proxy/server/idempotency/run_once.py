"""Requests with an `Idempotency-Key`: the agent runs once, however often they come (decision D12).

The first of them starts the run, in a task of its own; all of them read its recording. So a client whose connection
broke comes back and finds its answer, running or whole. When nobody has read for `idempotency_grace` the run is
stopped as if its client had left. All this is in the memory of one process: where there are several, let the balancer
send a key to the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from ...config.settings import Config
from ...core.errors import IdempotencyKeyReused, IdempotentAnswerGone, InternalError, ProxyError
from ..context import CONTEXT, Handler, server_of
from ..http.body import read_body
from ..runtime import RUNTIME
from .cache import HEADER, Shelf, check_key, fingerprint
from .delivery import play
from .shared_answer import Recording, SharedSinks

log = logging.getLogger(__name__)


class RunOnce:
    """The recordings of one process, and the runs that make them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._shelf: Shelf[Recording] = Shelf(
            most=config.max_idempotent,
            largest=config.max_idempotent_answer,
            most_bytes=config.max_idempotent_bytes,
        )
        # moving
        self._runs: dict[Recording, asyncio.Task[None]] = {}
        self._timers: dict[Recording, asyncio.TimerHandle] = {}
        """The end of the grace of a run, or of the time for which its answer is kept."""

    def wrap(self, handler: Handler) -> Handler:
        """The same for requests without a key."""

        async def run_once(request: web.Request) -> web.StreamResponse:
            key = request.headers.get(HEADER)
            if key is None:
                return await handler(request)
            return await self._answer(request, handler, check_key(key))

        return run_once

    async def settle(self) -> None:
        """At the end of the process: stops what nobody reads any more."""
        for task in list(self._runs.values()):
            task.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs.values()))
        for timer in self._timers.values():
            timer.cancel()

    async def _answer(self, request: web.Request, handler: Handler, key: str) -> web.StreamResponse:
        body = await read_body(request, timeout=request.app[RUNTIME].config.body_timeout)
        recording = self._recording(request, handler, key, body)
        del body  # not for as long as the answer takes
        return await self._listen(request, recording)

    def _recording(self, request: web.Request, handler: Handler, key: str, body: bytes) -> Recording:
        """That of this key, or a new one. Raises IdempotencyKeyReused and IdempotencyFull."""
        context = request[CONTEXT]
        scope = context.caller.scope
        session = request.headers.get("X-Session-Id", "")
        mark = fingerprint([request.path.encode(), session.encode("utf-8", "surrogateescape"), body])
        recording = self._shelf.get(scope, key)
        if recording is None:
            context.body = body
            return self._start(Recording(scope, key, mark, self._shelf), request, handler)
        if recording.fingerprint != mark:
            raise IdempotencyKeyReused(f"This {HEADER} belongs to another request; give each request a key of its own.")
        return recording

    def _start(self, recording: Recording, request: web.Request, handler: Handler) -> Recording:
        gone = self._shelf.put(recording)
        if gone is not None:
            self._stop_timer(gone)
        request[CONTEXT].sinks = SharedSinks(recording)
        self._runs[recording] = asyncio.create_task(self._run(recording, request, handler), name="run once")
        return recording

    async def _run(self, recording: Recording, request: web.Request, handler: Handler) -> None:
        try:
            with server_of(request).shutdown.before_run:
                await handler(request)
            recording.fail(InternalError())  # if it gave no answer: else who reads would wait for ever
        except ProxyError as error:
            recording.fail(error)
        except asyncio.CancelledError:
            recording.fail(
                IdempotentAnswerGone(
                    f"Nobody read the answer to this {HEADER} in time, and it was given up; the agent is not run twice."
                )
            )
            raise
        except Exception:
            log.exception("%s: %s failed", request[CONTEXT].request_id, request.path)
            recording.fail(InternalError())
        finally:
            self._settle(recording)

    def _settle(self, recording: Recording) -> None:
        """The run is over. Its answer is kept, and so is a failure behind which the agent may have acted."""
        del self._runs[recording]
        self._stop_timer(recording)
        if recording.failure is not None and recording.failure.should_retry is not False:
            self._shelf.drop(recording)
        else:
            self._call_later(self._config.idempotency_ttl, recording, self._shelf.drop)

    async def _listen(self, request: web.Request, recording: Recording) -> web.StreamResponse:
        reader = recording.join()
        if not recording.over:
            self._stop_timer(recording)
        try:
            return await play(request, recording, reader)
        finally:
            recording.leave(reader)
            if not recording.over and not recording.tape.is_read:
                grace = self._config.idempotency_grace if recording.tape.keeps_all else 0
                self._call_later(grace, recording, self._stop)

    def _stop(self, recording: Recording) -> None:
        self._runs[recording].cancel()

    def _call_later(self, delay: float, recording: Recording, action: Callable[[Recording], None]) -> None:
        def due() -> None:
            del self._timers[recording]
            action(recording)

        self._stop_timer(recording)
        self._timers[recording] = asyncio.get_running_loop().call_later(delay, due)

    def _stop_timer(self, recording: Recording) -> None:
        timer = self._timers.pop(recording, None)
        if timer is not None:
            timer.cancel()
