"""Headers of every response: request id, processing time, CORS."""

from __future__ import annotations

import re
from time import monotonic

from aiohttp import web
from multidict import istr

from ...api.protocol import LimitedUnit
from ...api.registry import APIS
from ..context import CONTEXT, RequestContext, server_of
from ..random_ids import new_id

_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

_OF_ANSWERS = {name: None for api in APIS.values() for name in api.answer_headers("", 0)}
_UNITS: tuple[LimitedUnit, LimitedUnit] = ("requests", "tokens")
_OF_LIMITS = {
    name: None
    for api in APIS.values()
    for unit in _UNITS
    for name in api.rate_headers(limit=0, remaining=0, reset=0, now=0, unit=unit)
}
EXPOSED = ", ".join(
    [*_OF_ANSWERS, "allow", "www-authenticate", "retry-after", "retry-after-ms", "x-should-retry", *_OF_LIMITS]
)
"""Response headers that a page may read."""

ID, SERVER = map(istr, ("x-request-id", "Server"))
"""As `istr`, because every request and response looks them up."""

OWN_PAGES_ONLY = "Cross-Origin-Resource-Policy"
"""A response with this header is only for pages of this server, even if `cors` allows others."""

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""All methods that an endpoint could have: a page may read the error for the others, too."""
PRIVATE_NETWORK = "Access-Control-Request-Private-Network"
"""Source: WICG Private Network Access, "CORS preflight"; Chromium sends it."""
PREFLIGHT_LIFE = "600"
"""Seconds for which a browser may cache a preflight; Chromium allows two hours at most, Firefox a day."""


def begin_context(request: web.BaseRequest) -> RequestContext:
    """Creates the request's context. Its id is the client's `X-Request-Id` if that is valid."""
    own = request.headers.get(ID)
    request_id = own if own and _SANE_ID.fullmatch(own) else f"req_{new_id()}"
    context = request[CONTEXT] = RequestContext(request_id, monotonic())
    return context


def add_standard_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Adds the headers of every response, also to a request that never reached the application."""
    _add_headers(request.get(CONTEXT) or begin_context(request), response)


def _add_headers(context: RequestContext, response: web.StreamResponse) -> None:
    taken = monotonic() - context.received
    headers = response.headers
    headers[ID] = context.request_id
    for name, value in context.api.answer_headers(context.request_id, int(taken * 1000)).items():
        headers[name] = value  # `update` takes twice the instructions
    headers[SERVER] = "oaicompat-proxy"
    if context.rate_headers is not None:
        headers.update(context.rate_headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """aiohttp's signal before it sends the headers of a response."""
    try:
        context = request[CONTEXT]
        server = context.server
    except (KeyError, AttributeError):  # the request has not reached our middleware
        context = request.get(CONTEXT) or begin_context(request)
        server = server_of(request)
    _add_headers(context, response)
    body = request.content
    if server.shutdown.begun or not body.is_eof() or body.exception() is not None:
        # during shutdown, and after a body that is incomplete or malformed, no further request may follow
        response.headers["Connection"] = "close"
        response.force_close()
    cors = server.config.cors
    if not cors or OWN_PAGES_ONLY in response.headers:
        return
    origin = allowed_origin(request)
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if cors != "*":
        response.headers["Vary"] = "Origin"


def allowed_origin(request: web.Request) -> str:
    """The value of `Access-Control-Allow-Origin` for this request, or ""."""
    server = server_of(request)
    if server.config.cors == "*":
        return "*"
    origin = request.headers.get("Origin", "")
    return origin if server.origins.names(origin) else ""


def asks_as_browser(request: web.Request) -> bool:
    """Whether this is a CORS preflight of an allowed page."""
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return is_preflight and bool(allowed_origin(request))


def preflight(request: web.Request, allowed: list[str]) -> web.Response:
    """The response to OPTIONS and to CORS preflights."""
    response = web.Response(status=204, headers={"Allow": ", ".join(allowed)})
    if allowed_origin(request):
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_LIFE
        if PRIVATE_NETWORK in request.headers:  # a page from a public address calls a private one
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        wanted = request.headers.get("Access-Control-Request-Headers")
        if wanted:  # echoed, because every SDK has headers of its own
            response.headers["Access-Control-Allow-Headers"] = wanted
    return response
