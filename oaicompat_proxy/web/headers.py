"""Headers of every answer: which request it was, how long it took, and which browsers may read it."""

from __future__ import annotations

import asyncio
import re
import secrets

from aiohttp import web

from .keys import CONFIG, RECEIVED, REQUEST_ID, STOPPING

_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

API_VERSION = "2020-10-01"
"""The one version that OpenAI's API has ever had."""

EXPOSED = (
    "x-request-id, openai-processing-ms, retry-after, retry-after-ms, x-should-retry, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests"
)
METHODS = "GET, HEAD, POST, OPTIONS"
PREFLIGHT_LIFE = "600"
"""Seconds for which a browser may remember a preflight; Chromium takes two hours at most, Firefox a day."""


def identify(request: web.BaseRequest) -> None:
    """Gives the request an id, the client's own if it is sane, and notes when it came."""
    own = request.headers.get("x-request-id", "")
    request[REQUEST_ID] = own if _SANE_ID.fullmatch(own) else f"req_{secrets.token_hex(16)}"
    request[RECEIVED] = asyncio.get_running_loop().time()


def stamp(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """What every answer carries, also one that never reached the application."""
    if REQUEST_ID not in request:
        identify(request)
    taken = asyncio.get_running_loop().time() - request[RECEIVED]
    response.headers["x-request-id"] = request[REQUEST_ID]
    response.headers["openai-processing-ms"] = str(int(taken * 1000))
    response.headers["openai-version"] = API_VERSION
    response.headers["Server"] = "oaicompat-proxy"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Runs just before the headers of an answer of the application's go out."""
    stamp(request, response)
    if request.app[STOPPING].begun or not request.content.is_eof() or request.content.exception() is not None:
        # the process ends, or the body's rest is still to come, or it broke: no request may be sent behind it
        response.headers["Connection"] = "close"
        response.force_close()
    cors = request.app[CONFIG].cors
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
    setting = request.app[CONFIG].cors
    origin = request.headers.get("Origin", "")
    if setting == "*":
        return "*"
    return origin if origin and origin in re.split(r"[,\s]+", setting) else ""


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
        wanted = request.headers.get("Access-Control-Request-Headers")
        if wanted:  # echoed: every SDK has headers of its own, and tomorrow more
            response.headers["Access-Control-Allow-Headers"] = wanted
    return response
