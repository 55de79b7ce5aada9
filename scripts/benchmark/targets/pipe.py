"""The baseline: an aiohttp handler that only copies bytes from the gateway to the client.

`python -m benchmark.targets.pipe GATEWAY` prints its address.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import click
import uvloop
from aiohttp import web

MAX_BODY = 64 * 1024 * 1024


def create_pipe(session: aiohttp.ClientSession, gateway: str) -> web.Application:
    """A POST to `/send` becomes the same POST to the gateway."""

    async def copy(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with session.post(f"{gateway}/send", data=body, headers={"Content-Type": "application/json"}) as answer:
            response = web.StreamResponse(headers={"Content-Type": answer.headers["Content-Type"]})
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
        return response

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/send", copy)
    return app


async def serve(gateway: str) -> None:
    """Serves on a free port until it is killed."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        runner = web.AppRunner(create_pipe(session, gateway), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        click.echo(f"listens on http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
