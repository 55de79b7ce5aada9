"""A recording that answers as a gateway: every `POST /send` gets its frames, at the pace at which they came.

One of an AG-UI agent answers at every path, and calls its run what the request calls it, as agents do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from ...dialects.registry import DIALECTS
from ...recordings.format import Recording

APP = "replay"
"""The one app that such a gateway hosts."""


async def serve(recording: Recording, *, port: int, pace: float, tell: Callable[[str], None]) -> None:
    """Until it is cancelled. `pace`: 1 is the recorded one, 0 is all at once. `tell` gets the address.

    Raises OSError if the port cannot be listened on.
    """
    runner = web.AppRunner(create_gateway(recording, pace=pace), access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0).start()
        tell(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def create_gateway(recording: Recording, *, pace: float) -> web.Application:
    is_agent = recording.options.dialect == "ag-ui"
    recorded = DIALECTS[recording.options.dialect].find_run_id(recording.bytes_of("native"))

    async def send(request: web.Request) -> web.StreamResponse:
        asked = _member(await request.read(), "runId") if is_agent else None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        before = 0.0
        for entry in recording.of("native"):
            await asyncio.sleep(pace * max(entry.ms - before, 0) / 1000)
            before = entry.ms
            await response.write(_renamed(entry.data, recorded, asked) if isinstance(asked, str) else entry.data)
        return response

    async def invoke(request: web.Request) -> web.Response:
        method = _member(await request.read(), "method")
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


def _renamed(data: bytes, recorded: str, asked: str) -> bytes:
    """The run under the name that was asked for: an agent that does not echo it might be replaying another."""
    old, new = (b'"runId":%b' % json.dumps(each).encode() for each in (recorded, asked))
    return data.replace(old, new)


def _member(body: bytes, key: str) -> object:
    try:
        call = json.loads(body)
    except ValueError:
        return None
    return call.get(key) if isinstance(call, dict) else None
