"""The runs that the inspector shows: running and recent ones, within a bound of number and memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterator

from aiohttp import web

from ...config.settings import Config
from ...core.errors import AgentAborted, ProxyError
from ..context import CONTEXT, Handler
from ..http.client_api import api_of
from ..http.error_middleware import redact_tokens
from ..observability.run_report import RunSummary
from ..shutdown import GracefulShutdown
from .inspected_run import ClientCall, InspectedRun
from .recorder_pair import RecorderPair

log = logging.getLogger("oaicompat_proxy.inspect")

GRANT = 64 * 1024
"""Bytes of memory that a run gets at once."""

SHARE = 4
"""A run gets at most this part of all memory, so that a long run does not evict all others."""

SHOWN_HEADERS = (
    *("Content-Type", "Accept", "User-Agent", "anthropic-version", "anthropic-beta"),
    *("X-Session-Id", "Session-Id", "Idempotency-Key"),
)
"""Headers of a client's request that are kept. None of them is a credential."""

MAX_HEADER = 1024
"""Characters of a header's value that are kept."""

STOPPED = "This run was stopped by the operator of this server."


class Collector:
    """Collects runs by wrapping their handlers; without a collector these are not wrapped."""

    def __init__(self, config: Config) -> None:
        self._most = config.inspect_runs
        self._memory = config.inspect_bytes
        self._grant_size = min(GRANT, self._memory // 16)
        self._numbers = itertools.count(1)
        self._process = f"{os.getpid():x}"
        # state
        self.left_out = 0
        """Runs that were not collected, because all collected ones were still running."""
        self._runs: dict[str, InspectedRun] = {}
        """All runs by id, the oldest first."""
        self._going: dict[int, InspectedRun] = {}
        """Running ones, by the identity of their report."""
        self._over: deque[InspectedRun] = deque()
        """Ended ones, in the order of their ends."""
        self._holding: deque[InspectedRun] = deque()
        """Ended ones that may hold bytes."""
        self.held = 0
        """Bytes of memory of all runs."""

    def __iter__(self) -> Iterator[InspectedRun]:
        return iter(list(self._runs.values()))

    def find(self, run_id: str) -> InspectedRun | None:
        return self._runs.get(run_id)

    def wrap(self, handler: Handler) -> Handler:
        async def collect(request: web.Request) -> web.StreamResponse:
            run = self._begin(request)
            try:
                return await handler(request)
            except ProxyError as error:
                if run is not None and not any(isinstance(each, bytes) for each in run.moments):
                    run.body(error.status, api_of(request).encode_error(redact_tokens(error, request)).body)
                raise

        return collect

    def observe(self, summary: RunSummary) -> None:
        """Called at the end of a run."""
        run = self._going.pop(id(summary), None)
        if run is not None:
            run.finish(summary)
            self._over.append(run)
            self._holding.append(run)

    def stop(self, run: InspectedRun, shutdown: GracefulShutdown, by: str) -> bool:
        """Interrupts the run: its client gets `agent_aborted`. False if it cannot be interrupted any more."""
        report, task, failure = run.report, run.task, AgentAborted(STOPPED)
        if report is None or task is None or not shutdown.stop(task, failure):
            return False
        report.fail(failure)
        log.warning("inspect: stopped request_id=%s by=%s", report.request_id, by)
        return True

    def _begin(self, request: web.Request) -> InspectedRun | None:
        if not self._make_room():
            self.left_out += 1
            return None
        report = request[CONTEXT].report
        run_id = f"{self._process}-{next(self._numbers)}"
        task = asyncio.current_task()
        run = InspectedRun(run_id, api_of(request), _call_of(request), time.time(), report, task, self._grant)
        report.recording = run if report.recording is None else RecorderPair(report.recording, run)
        self._runs[run_id] = self._going[id(report)] = run
        return run

    def _make_room(self) -> bool:
        while len(self._runs) >= self._most:
            if not self._over:
                return False
            oldest = self._over.popleft()
            del self._runs[oldest.id]
            self.held -= oldest.drop()
        return True

    def _grant(self, run: InspectedRun) -> int:
        if run.held + self._grant_size > self._memory // SHARE:
            return 0
        while self.held + self._grant_size > self._memory:
            if not self._holding:
                return 0
            self.held -= self._holding.popleft().drop()
        self.held += self._grant_size
        return self._grant_size


def _call_of(request: web.Request) -> ClientCall:
    headers = {name: request.headers[name][:MAX_HEADER] for name in SHOWN_HEADERS if name in request.headers}
    return ClientCall(request.method, f"{request.scheme}://{request.host}{request.path}", headers)


COLLECTOR = web.AppKey("oaicompat_proxy.collector", Collector)
"""Set in the application of `create_app`, if runs are inspected."""
