"""Serves the inspector's page on a recording, on the loopback (`oaicompat-proxy inspect FILE`)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator

from aiohttp import web

from ... import __version__
from ...api.registry import APIS
from ...core.errors import MissingKey
from ...core.origins import OriginPolicy
from ...recordings.format import Recording, RecordingError
from ..observability.run_report import RunCounts, RunReport
from .access import check_loopback, check_page
from .inspected_run import ClientCall, InspectedRun
from .inspector import Json, Runs
from .responses import HEADERS
from .routes import PREFIX, add_routes
from .run_details import Shown

HOST = "127.0.0.1"

OUTCOMES = {b"answered": "success", b"the client left": "client_gone", b"failed": "agent_error"}
"""The outcome by the last entry of a recording."""


async def serve_recording(
    recording: Recording, *, port: int, content: bool, on_listening: Callable[[str], None]
) -> None:
    """Serves until it is cancelled. `content`: texts are shown. `on_listening` gets the page's address.

    Raises RecordingError if this release does not know the recording's API, OSError if the port is not available.
    """
    app = create_file_app(recording, content=content)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        on_listening(f"http://{HOST}:{runner.addresses[0][1]}{PREFIX}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def create_file_app(recording: Recording, *, content: bool) -> web.Application:
    """Raises RecordingError."""
    app = web.Application()
    add_routes(app, FileInspector(new_run(recording), content=content))
    app.router.add_get("/", _go_to_page)
    return app


async def _go_to_page(request: web.Request) -> web.Response:
    return web.Response(status=303, headers={**HEADERS, "Location": PREFIX})


def new_run(recording: Recording) -> InspectedRun:
    """The recorded run, as the inspector shows it. Raises RecordingError."""
    options = recording.options
    api = APIS.get(options.api)
    if api is None:
        raise RecordingError(f"this release does not know the API of the recording: {options.api[:60]!r}")
    report = RunReport(api.operation, RunCounts())
    report.api, report.request_id, report.began = api.name, recording.request_id or "-", 0.0
    report.model, report.stream = options.model, options.stream
    call = ClientCall("POST", api.path, {})
    run = InspectedRun("recording", api, call, time.time(), report, None, lambda _: 0)
    run.options = options
    for entry in recording.entries:
        if entry.kind != "end":
            run.add((entry.ms / 1000, entry.kind, entry.data))
    _close(run, report, recording)
    return run


def _close(run: InspectedRun, report: RunReport, recording: Recording) -> None:
    report.outcome = OUTCOMES.get(recording.bytes_of("end"), "")
    report.end(sent=len(recording.bytes_of("client")) + len(recording.bytes_of("body")))
    report.outcome = OUTCOMES.get(recording.bytes_of("end"), "not known")
    report.received_bytes = len(recording.bytes_of("native"))
    report.duration = max((entry.ms for entry in recording.entries), default=0.0) / 1000
    report.first_token = next((entry.ms / 1000 for entry in recording.of("client")), None)
    run.finish(report)


class _OneRun:
    """The recorded run."""

    left_out = 0

    def __init__(self, run: InspectedRun) -> None:
        self._run = run

    def __iter__(self) -> Iterator[InspectedRun]:
        return iter([self._run])

    def find(self, run_id: str) -> InspectedRun | None:
        return self._run if run_id == self._run.id else None


class FileInspector:
    """The inspector of a recording, only for this machine."""

    has_form = False

    def __init__(self, run: InspectedRun, *, content: bool) -> None:
        self.runs: Runs = _OneRun(run)
        self._content = content
        self._own = OriginPolicy("")

    async def check(self, request: web.Request) -> str:
        """Raises HostNotAllowed, OriginNotAllowed, Forbidden."""
        check_page(request, self._own)
        check_loopback(request, request.remote or "")
        return ""

    def log_in(self, request: web.Request, key: str) -> str:
        raise MissingKey("A recording needs no key.")

    def shown(self, request: web.Request) -> Shown:
        return Shown(content=self._content)

    async def state(self, request: web.Request) -> Json:
        return {
            "version": __version__,
            "source": "file",
            "content": self._content,
            "keys": False,
            "worker": os.getpid(),
            "workers": 1,
            "now": round(time.time(), 3),
            "most_runs": 1,
            "most_bytes": 0,
            "held_bytes": 0,
            "left_out": 0,
            "gateways": [],
        }

    def stop(self, request: web.Request, run: InspectedRun, by: str) -> bool:
        return False

    def is_stopping(self, request: web.Request) -> bool:
        return False
