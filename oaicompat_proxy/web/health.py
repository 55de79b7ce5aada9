"""For whoever supervises the process: does it live, can it serve?"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..errors import ProxyError
from .keys import CATALOG, CONFIG, GATEWAYS, STOPPING


async def live(request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Every gateway answers and takes our token, and the process goes on; 503 with the reason otherwise."""
    if request.app[STOPPING].begun:
        return web.json_response({"status": "unavailable", "reason": "This proxy is stopping."}, status=503)
    gateways = request.app[GATEWAYS]
    reasons = list(filter(None, await asyncio.gather(*map(_why_not, gateways))))
    if reasons:
        return web.json_response({"status": "unavailable", "reason": " ".join(reasons)}, status=503)
    return web.json_response({"status": "ok"})


async def _why_not(gateway: web.Application) -> str:
    try:
        await gateway[CATALOG].check()
    except ProxyError as error:
        several = len(gateway[GATEWAYS]) > 1
        return f"{gateway[CONFIG].prefix}: {error.message}" if several else error.message
    return ""
