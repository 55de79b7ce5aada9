"""`GET /metrics`, for the addresses that the setting `metrics_from` allows."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client.exposition import choose_encoder

from ...config.settings import Config
from ..context import server_of
from ..observability import multiprocess as shared_metrics
from ..observability.telemetry import TELEMETRY


async def metrics(request: web.Request) -> web.Response:
    """Everyone else gets 404, because models and their traffic are not public. Raises HTTPNotFound."""
    if not may_read(request.remote or "", hops_of(request.headers), server_of(request).config):
        raise web.HTTPNotFound
    telemetry = request.app[TELEMETRY]
    await telemetry.gauges.update()
    registry = shared_metrics.gather() if shared_metrics.is_shared() else telemetry.registry
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


ADDRESS_HEADERS = (
    *("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP"),
    *("Fastly-Client-IP", "X-Original-Forwarded-For", "X-Envoy-External-Address", "X-Appengine-User-IP"),
)
"""Headers in which proxies write the address of their client."""

PROXY_HEADERS = (
    *("Forwarded", "Via", "X-Forwarded", "X-Forwarded-By", "X-Forwarded-Host", "X-Forwarded-Port"),
    *("X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Original-Host", "X-ProxyUser-Ip"),
)
"""Headers that show a proxy without its client's address, or with the address in another form."""

UNKNOWN = "unknown"


def hops_of(headers: CIMultiDictProxy[str]) -> list[str]:
    """The addresses before the peer, as proxies report them; UNKNOWN for a proxy that reports none."""
    hops = [hop for name in ADDRESS_HEADERS for hop in headers.getall(name, ())]
    shown = {name for name in PROXY_HEADERS if name in headers}
    if shown - SENT_WITH_ADDRESS or (shown and "X-Forwarded-For" not in headers):
        hops.append(UNKNOWN)
    return hops


SENT_WITH_ADDRESS = {"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"}
"""Headers that nginx and others send beside X-Forwarded-For."""


def may_read(peer: str, forwarded: Sequence[str], config: Config) -> bool:
    """Whether the peer and all addresses before it are allowed: a local reverse proxy must not make metrics public.

    Without a `peer` the request came through a Unix socket, whose file mode controls access.
    """
    networks = [ip_network(each, strict=False) for each in config.metrics_from]
    passed = [hop.strip() for header in forwarded for hop in header.split(",")]
    try:
        way = [ip_address(hop) for hop in [*([peer] if peer else []), *passed]]
    except ValueError:
        return False
    return all(any(hop in network for network in networks) for hop in way)
