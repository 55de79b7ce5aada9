"""Liveness and readiness probes."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from ...core.build import FORM
from ...core.errors import ProxyError
from ..context import server_of
from ..gateway import GATEWAYS, Gateway
from ..observability.outcomes import reason_of


async def live(request: web.Request) -> web.Response:
    """200 while the event loop turns."""
    return web.json_response({"status": "ok", "form": FORM})


async def ready(request: web.Request) -> web.Response:
    """200 if every gateway answers and accepts the proxy's token; 503 with the reason otherwise, or during shutdown."""
    if server_of(request).shutdown.begun:
        return web.json_response({"status": "unavailable", "reason": "This proxy is stopping."}, status=503)
    gateways = request.app[GATEWAYS]
    found = await asyncio.gather(*map(_check, gateways))
    labels = [f"{each.runtime.config.prefix}: " if len(gateways) > 1 else "" for each in gateways]
    for gateway, label, each in zip(gateways, labels, found, strict=True):
        gateway.runtime.readiness.log_change(label, each.reason)
    if reasons := [label + each.reason for label, each in zip(labels, found, strict=True) if each.reason]:
        return web.json_response({"status": "unavailable", "reason": " ".join(reasons)}, status=503)
    notes = [label + each.note for label, each in zip(labels, found, strict=True) if each.note]
    return web.json_response({"status": "ok", **({"note": " ".join(notes)} if notes else {})})


class _Result(NamedTuple):
    """The result of one check: why the gateway cannot serve, or a note if it can."""

    reason: str = ""
    note: str = ""


async def _check(gateway: Gateway) -> _Result:
    try:
        return _Result(note=await gateway.runtime.readiness.check())
    except ProxyError as error:
        return _Result(reason=reason_of(error) or error.message)
    except TimeoutError:
        return _Result(reason="The agent gateway does not answer in time.")
