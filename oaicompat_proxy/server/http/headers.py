"""Headers of every answer: which request it was, how long it took, and which browsers may read it."""

from __future__ import annotations

import re
from time import monotonic

from aiohttp import web
from multidict import istr

from ...api.registry import APIS
from ..context import CONTEXT, RequestContext, server_of
from ..random_ids import new_id
from .client_api import api_of

_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

_OF_ANSWERS = {name: None for api in APIS.values() for name in api.answer_headers("", 0)}
_OF_LIMITS = {name: None for api in APIS.values() for name in api.rate_headers(limit=0, remaining=0, reset=0)}
EXPOSED = ", ".join(
    [*_OF_ANSWERS, "allow", "www-authenticate", "retry-after", "retry-after-ms", "x-should-retry", *_OF_LIMITS]
)
"""The headers of an answer that a page may read."""

ID, SERVER = map(istr, ("x-request-id", "Server"))
"""Every request and answer is asked for them, so they are prepared for look-ups that ignore case."""

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""All that any endpoint could have: a page may read why the others are refused, too."""
PRIVATE_NETWORK = "Access-Control-Request-Private-Network"
"""Source: WICG Private Network Access, "CORS preflight"; Chromium sends it."""
PREFLIGHT_LIFE = "600"
"""Seconds for which a browser may remember a preflight; Chromium takes two hours at most, Firefox a day."""


def begin_context(request: web.BaseRequest) -> RequestContext:
    """Begins the request's context. Its id is the client's own if that is sane."""
    own = request.headers.get(ID)
    request_id = own if own and _SANE_ID.fullmatch(own) else f"req_{new_id()}"
    context = request[CONTEXT] = RequestContext(request_id, monotonic())
    return context


def add_standard_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Headers of every response, also to a request that never reached the application."""
    context = request[CONTEXT] if CONTEXT in request else begin_context(request)
    taken = monotonic() - context.received
    headers = response.headers
    headers[ID] = context.request_id
    headers.update(api_of(request).answer_headers(context.request_id, int(taken * 1000)))
    headers[SERVER] = "oaicompat-proxy"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Runs just before the headers of an answer of the application's go out."""
    add_standard_headers(request, response)
    server, body = server_of(request), request.content
    if server.shutdown.begun or not body.is_eof() or body.exception() is not None:
        # the process ends, or the body's rest is still to come, or it broke: no request may be sent behind it
        response.headers["Connection"] = "close"
        response.force_close()
    response.headers.update(request[CONTEXT].rate_headers)
    cors = server.config.cors
    if not cors:
        return
    origin = allowed_origin(request)
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if cors != "*":
        response.headers["Vary"] = "Origin"


def allowed_origin(request: web.Request) -> str:
    """What `Access-Control-Allow-Origin` has to say to this request; empty if nothing."""
    server = server_of(request)
    if server.config.cors == "*":
        return "*"
    origin = request.headers.get("Origin", "")
    return origin if server.origins.names(origin) else ""


def asks_as_browser(request: web.Request) -> bool:
    """Whether this is a browser's question before a call of an allowed page."""
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return is_preflight and bool(allowed_origin(request))


def preflight(request: web.Request, allowed: list[str]) -> web.Response:
    """The answer to OPTIONS: what may be done, and what a browser may send along."""
    response = web.Response(status=204, headers={"Allow": ", ".join(allowed)})
    if allowed_origin(request):
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_LIFE
        if PRIVATE_NETWORK in request.headers:  # a page of the internet asks for an address of this machine
            response.headers["Access-Control-Allow-Private-Network"] = "true"
        wanted = request.headers.get("Access-Control-Request-Headers")
        if wanted:  # echoed: every SDK has headers of its own, and tomorrow more
            response.headers["Access-Control-Allow-Headers"] = wanted
    return response
