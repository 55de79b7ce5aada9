"""Serves a recording as a gateway: every `POST /send` gets its frames, at the recorded pace.

A recording of an AG-UI agent is served at every path, with the run id of the request, as agents do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

from aiohttp import web

from ...dialects.registry import DIALECTS
from ...recordings.format import Recording

APP = "replay"
"""The only app of the gateway."""


async def serve(recording: Recording, *, port: int, pace: float, on_listening: Callable[[str], None]) -> None:
    """Serves until it is cancelled. `pace`: 1 is the recorded pace, 0 is all at once. `on_listening` gets the URL.

    Raises OSError if the port is not available.
    """
    runner = web.AppRunner(create_gateway(recording, pace=pace), access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0).start()
        on_listening(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def create_gateway(recording: Recording, *, pace: float) -> web.Application:
    is_agent = recording.options.dialect == "ag-ui"
    recorded = DIALECTS[recording.options.dialect].find_run_id(recording.bytes_of("native"))

    async def send(request: web.Request) -> web.StreamResponse:
        asked = _json_field(await request.read(), "runId") if is_agent else None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for pause, data in timed_reads(recording, pace):
            await asyncio.sleep(pause)
            await response.write(_with_run_id(data, recorded, asked) if isinstance(asked, str) else data)
        return response

    async def invoke(request: web.Request) -> web.Response:
        method = _json_field(await request.read(), "method")
        if method == "apps":
            return web.json_response({"apps": [{"id": APP, "isDefault": True}]})
        return web.json_response({"error": f"Unknown method: {method}"}, status=400)

    async def close(request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    if is_agent:
        app.router.add_post("/{path:.*}", send)
        return app
    app.router.add_post("/send", send)
    app.router.add_post("/invoke", invoke)
    app.router.add_post("/close", close)
    return app


def timed_reads(recording: Recording, pace: float) -> Iterator[tuple[float, bytes]]:
    """The reads of the agent's stream, each with the seconds to wait before it."""
    before = 0.0
    for entry in recording.of("native"):
        yield pace * max(entry.ms - before, 0) / 1000, entry.data
        before = entry.ms


def _with_run_id(data: bytes, recorded: str, asked: str) -> bytes:
    """The data with the run id of the request. With another id it could count as a replay of an earlier run."""
    old, new = (b'"runId":%b' % json.dumps(each).encode() for each in (recorded, asked))
    return data.replace(old, new)


def _json_field(body: bytes, key: str) -> object:
    try:
        call = json.loads(body)
    except ValueError:
        return None
    return call.get(key) if isinstance(call, dict) else None
