"""For whoever supervises the process: does it live, can it serve?"""

from __future__ import annotations

from aiohttp import web

from ..errors import ProxyError
from .keys import CATALOG


async def live(request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """The gateway answers and takes our token; 503 with the reason otherwise."""
    try:
        await request.app[CATALOG].check()
    except ProxyError as error:
        return web.json_response({"status": "unavailable", "reason": error.message}, status=503)
    return web.json_response({"status": "ok"})
