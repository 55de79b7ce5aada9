"""For whoever supervises the process: does it live, can it serve?"""

from __future__ import annotations

from aiohttp import web

from ..errors import ProxyError
from .keys import CATALOG, STOPPING


async def live(request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """The gateway answers and takes our token, and the process goes on; 503 with the reason otherwise."""
    if request.app[STOPPING].begun:
        return web.json_response({"status": "unavailable", "reason": "This proxy is stopping."}, status=503)
    try:
        await request.app[CATALOG].check()
    except ProxyError as error:
        return web.json_response({"status": "unavailable", "reason": error.message}, status=503)
    return web.json_response({"status": "ok"})
