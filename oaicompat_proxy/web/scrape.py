"""`GET /metrics`: for Prometheus, and for nobody who is not allowed to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from ..config import Config
from . import shared_metrics
from .keys import CENSUS, CONFIG, REGISTRY


async def metrics(request: web.Request) -> web.Response:
    """Models and their traffic are not everybody's business, so others find nothing here. Raises HTTPNotFound."""
    if not may_read(request.remote or "", request.headers.getall("X-Forwarded-For", ()), request.app[CONFIG]):
        raise web.HTTPNotFound
    await request.app[CENSUS].take()
    registry = shared_metrics.gather() if shared_metrics.is_shared() else request.app[REGISTRY]
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


def may_read(peer: str, forwarded: Sequence[str], config: Config) -> bool:
    """Whether everybody on the way is allowed to: a proxy on this machine must not open this to the world.

    Without a `peer` the request came through a socket file, whose permissions are the operator's.
    """
    networks = [ip_network(each, strict=False) for each in config.metrics_from]
    passed = [hop.strip() for header in forwarded for hop in header.split(",")]
    try:
        way = [ip_address(hop) for hop in [*([peer] if peer else []), *passed]]
    except ValueError:
        return False
    return all(any(hop in network for network in networks) for hop in way)
