"""Authentication and rate limits, before any of the body is read.

Without keys, a web page could run the agent from the browser of its visitor. So then `Origin` and `Host` are checked.
CORS preflights and health probes need no key.
"""

from __future__ import annotations

from aiohttp import web

from ...core.caller import Caller
from ...core.durations import duration
from ...core.errors import HostNotAllowed, MissingKey, OriginNotAllowed, RateLimited
from ..context import CONTEXT, EXPOSED, Handler, server_of
from .client_api import api_of, find_api
from .reporting import report_rejected

LONGEST_QUOTE = 100
"""Characters of an origin or host in an error message."""


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises MissingKey, InvalidKey, RateLimited, OriginNotAllowed and HostNotAllowed."""
    server, context, called = server_of(request), request[CONTEXT], request.match_info.handler
    authenticator = server.authenticator
    context.client = authenticator.address(request)
    if not authenticator.requires_keys and called not in server.probes:
        try:
            _check_origin_and_host(request)
        except (OriginNotAllowed, HostNotAllowed) as error:
            report_rejected(request, error)
            raise
    if request.method == "OPTIONS" or called in server.public:
        return await handler(request)
    if authenticator.is_due:
        await authenticator.refresh()
    try:
        caller = context.caller = authenticator.identify(request.headers)
        if caller.requests_per_minute and request.method == "POST" and find_api(request) is not None:
            await _check_rate_limit(request, caller)
    except (MissingKey, RateLimited) as error:
        report_rejected(request, error)
        raise
    return await handler(request)


def _check_origin_and_host(request: web.Request) -> None:
    """Raises OriginNotAllowed and HostNotAllowed. Programs other than browsers send no `Origin`."""
    server, headers = server_of(request), request.headers
    origins = server.origins
    for origin in headers.getall("Origin", ()):
        if origin and not origins.allows_origin(origin):
            raise OriginNotAllowed(
                f"Pages of {origin[:LONGEST_QUOTE]} may not call this server; its operator can allow them with --cors."
            )
    if request.app.get(EXPOSED) and not server.config.allowed_host:
        return
    for host in headers.getall("Host", ()):
        if host and not origins.allows_host(host):
            raise HostNotAllowed(
                f"This server does not answer to the host {host[:LONGEST_QUOTE]}; its operator can allow the name with "
                "--allowed-host."
            )


async def _check_rate_limit(request: web.Request, caller: Caller) -> None:
    """Requests for a run count, failed ones too, as at OpenAI."""
    rate = await server_of(request).rate_limiter.count(caller)
    api, context = api_of(request), request[CONTEXT]
    context.rate_headers = api.rate_headers(limit=rate.limit, remaining=rate.remaining, reset=rate.reset)
    if not rate.admitted:
        raise RateLimited(
            f"Rate limit reached for requests per minute: Limit {rate.limit}. "
            f"Please try again in {duration(rate.reset)}.",
            retry_after=rate.reset,
        )
