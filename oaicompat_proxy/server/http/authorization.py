"""Authentication and rate limits, before any of the body is read.

Where no key is required, `Origin` and `Host` are checked: otherwise any web page could run the agent, or read the
metrics, from its visitor's browser. CORS preflights and health probes need no key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiohttp import web

from ...core.caller import Caller
from ...core.durations import format_duration
from ...core.errors import HostNotAllowed, InvalidKey, OriginNotAllowed, ProxyError, RateLimited
from ..access.authenticator import Authenticator, peer_of
from ..context import EXPOSED, RequestContext, ServerRuntime
from ..single_sign_on.single_sign_on import SingleSignOn
from .client_api import find_api
from .reporting import report_rejected

MAX_QUOTE = 100
"""Characters of an origin or host in an error message."""


async def authenticate(request: web.Request, context: RequestContext) -> None:
    """Sets the client and the caller of the context.

    Raises OriginNotAllowed, HostNotAllowed, MissingKey, IssuerUnavailable, RateLimited and InvalidRequest.
    """
    server, called = context.server, request.match_info.handler
    authenticator = server.authenticator
    context.client = authenticator.address(request)
    needs_key = authenticator.requires_keys and called not in server.public
    if not needs_key and called not in server.probes:
        try:
            _check_origin_and_host(request, server)
        except (OriginNotAllowed, HostNotAllowed) as error:
            report_rejected(request, error)
            raise
    if called in server.public or request.method == "OPTIONS":
        return
    if authenticator.is_due:
        await authenticator.refresh()
    try:
        if server.single_sign_on is None:
            caller = context.caller = authenticator.identify(request.headers)
        else:
            caller = context.caller = await _identify(request.headers, authenticator, server.single_sign_on)
        if server.users is not None:
            caller = context.caller = server.users.identify(caller, request.headers, peer_of(request))
        if caller.requests_per_minute and request.method == "POST" and find_api(request) is not None:
            await _check_rate_limit(context, caller)
    except ProxyError as error:
        report_rejected(request, error)
        raise


async def _identify(headers: Mapping[str, str], keys: Authenticator, tokens: SingleSignOn) -> Caller:
    """The caller by its key, else by its token."""
    try:
        return keys.identify(headers)
    except InvalidKey:
        caller = await tokens.identify(headers)
        if caller is None:
            raise
        return caller


def _check_origin_and_host(request: web.Request, server: ServerRuntime) -> None:
    """Raises OriginNotAllowed and HostNotAllowed. Programs other than browsers send no `Origin`."""
    headers, origins = request.headers, server.origins
    for origin in headers.getall("origin", ()):
        if origin and not origins.allows_origin(origin):
            raise OriginNotAllowed(
                f"Pages of {origin[:MAX_QUOTE]} may not call this server; its operator can allow them with --cors."
            )
    for host in headers.getall("host", ()):
        if host and not origins.allows_host(host) and not _takes_any_host(request, server):
            raise HostNotAllowed(
                f"This server does not answer to the host {host[:MAX_QUOTE]}; its operator can allow the name with "
                "--allowed-host."
            )


def _takes_any_host(request: web.Request, server: ServerRuntime) -> bool:
    is_exposed = request.app.get(EXPOSED, False)
    return is_exposed and not server.config.allowed_host


async def _check_rate_limit(context: RequestContext, caller: Caller) -> None:
    """Counts a request for a run; failed requests count too, as at OpenAI."""
    rate = await context.server.rate_limiter.count(caller)
    context.rate_headers = context.api.rate_headers(
        limit=rate.limit, remaining=rate.remaining, reset=rate.reset, now=time.time()
    )
    if not rate.admitted:
        raise RateLimited(
            f"Rate limit reached for requests per minute: Limit {rate.limit}. "
            f"Please try again in {format_duration(rate.reset)}.",
            retry_after=rate.reset,
        )
