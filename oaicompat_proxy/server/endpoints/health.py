"""For whoever supervises the process: does it live, can it serve?"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from ...core.errors import ProxyError
from ..context import CONFIG, GATEWAYS
from ..http.shutdown import STOPPING
from .readiness import READINESS


async def live(request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """Every gateway answers and takes our token, and the process goes on; 503 with the reason otherwise."""
    if request.app[STOPPING].begun:
        return web.json_response({"status": "unavailable", "reason": "This proxy is stopping."}, status=503)
    gateways = request.app[GATEWAYS]
    told = await asyncio.gather(*map(_check, gateways))
    if reasons := [each.reason for each in told if each.reason]:
        return web.json_response({"status": "unavailable", "reason": " ".join(reasons)}, status=503)
    notes = [each.note for each in told if each.note]
    return web.json_response({"status": "ok", **({"note": " ".join(notes)} if notes else {})})


class _Told(NamedTuple):
    """Of a gateway: why it cannot serve, and what else there is to say."""

    reason: str = ""
    note: str = ""


async def _check(gateway: web.Application) -> _Told:
    where = f"{gateway[CONFIG].prefix}: " if len(gateway[GATEWAYS]) > 1 else ""
    try:
        note = await gateway[READINESS].ask()
    except ProxyError as error:
        return _Told(reason=where + error.message)
    except TimeoutError:
        return _Told(reason=f"{where}The agent gateway does not answer in time.")
    return _Told(note=note and where + note)
