"""Endpoints for the `doctor` command, which tests the servers between a client and the proxy (setting `diagnostics`).

They run no agent: test streams with pauses and silences, whether a client's disconnect was noticed, the request as it
arrived, and the gateway's features. Number and length of test streams are bounded, because every caller of the API may
use them.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Self

import pydantic
from aiohttp import HttpVersion11, web

from ... import __version__
from ...api.protocol import ClientApi
from ...api.registry import DEFAULT_API
from ...core.answer import Envelope
from ...core.build import FORM, python_build
from ...core.errors import InvalidRequest, ProxyError, UpstreamRefused
from ...core.sse import KEEP_ALIVE, encode
from ...dialects.protocol import GatewayMethods, HttpCall
from ..access.signing_secret import origin_of
from ..context import CONTEXT, server_of
from ..http.body import read_body
from ..runtime import RUNTIME
from ..sessions.message_trial import find_messages
from ..upstream.gateway_client import Upstream
from .access_diagnostics import show_access
from .diagnostic_streams import MAX_SECONDS, DiagnosticStreams

FEATURES_TTL = 5.0
"""Seconds for which the gateway's features are cached."""


MIN_PING_INTERVAL = 0.1
"""Seconds between two keep-alives of a test stream."""


def _check_pings(value: float) -> float:
    if 0 < value < MIN_PING_INTERVAL:
        raise ValueError(f"0, or at least {MIN_PING_INTERVAL} seconds")
    return value


class StreamRequest(pydantic.BaseModel):
    """A test stream: one event, the silence, then the other events."""

    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)

    token: str = pydantic.Field("", max_length=64)
    """Identifies the stream for `GET …/streams/TOKEN`."""
    events: int = pydantic.Field(1, ge=1, le=100)
    interval: float = pydantic.Field(0, ge=0, le=1)
    """Seconds between two events."""
    silence: float = pydantic.Field(0, ge=0, le=300)
    pings: Annotated[float, pydantic.Field(ge=0, le=300), pydantic.AfterValidator(_check_pings)] = 0
    """Seconds between two keep-alives in the silence, in the form that answers have; 0 for none."""
    accel: bool = True
    """Send `X-Accel-Buffering: no`, as answers do."""

    @pydantic.model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.silence + self.interval * (self.events - 1) > MAX_SECONDS:
            raise ValueError(f"a test stream takes at most {MAX_SECONDS:g} seconds")
        return self


class Diagnostics:
    """The diagnostics of one process: other workers do not know its streams."""

    def __init__(self) -> None:
        self.streams = DiagnosticStreams()
        self._lock = asyncio.Lock()
        self._features: dict[str, Any] = {}
        self._asked_at = -FEATURES_TTL

    async def features(self, upstream: Upstream) -> dict[str, Any]:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at >= FEATURES_TTL:
                self._features = await _ask_gateway(upstream)
                if self._features["reachable"]:  # a failure may be due to this caller's key, so it is not cached
                    self._asked_at = now
            return self._features


def add_routes(app: web.Application, base: str) -> None:
    """`base`: the prefix of the application's paths."""
    here, base = Diagnostics(), f"{base}/diagnostics"
    app.router.add_get(base, about)
    app.router.add_get(f"{base}/access", show_access)
    app.router.add_get(f"{base}/gateway", functools.partial(gateway, here))
    app.router.add_post(f"{base}/streams", functools.partial(stream, here))
    app.router.add_get(f"{base}/streams/{{token}}", functools.partial(state, here))


async def _ask_gateway(upstream: Upstream) -> dict[str, Any]:
    """The methods of the gateway; only `reachable` for an agent without a gateway."""
    gateway = upstream.dialect.gateway
    found: dict[str, Any] = {}
    try:
        if gateway is None:
            _check_token(await upstream.probe())
        else:
            for name, call in _feature_calls(gateway).items():
                status, body = await upstream.call(call)
                _check_token(status)
                found[name] = not gateway.is_unknown_method(status, body)
            found["abort"] = gateway.is_abort_refused(*await upstream.call(gateway.build_abort(_unknown_session())))
            await find_messages(upstream)
            found |= upstream.features.known()  # results of real requests are more reliable
    except ProxyError as error:
        return {"reachable": False, "reason": error.message}
    return {"reachable": True, **found}


def _feature_calls(gateway: GatewayMethods) -> dict[str, HttpCall]:
    """Calls for a session that does not exist: they show which methods there are, and change nothing."""
    unknown = _unknown_session()
    return {
        "apps": gateway.build_apps(),
        "close": gateway.build_invoke_close(unknown),
        "confirm": gateway.build_confirmation(unknown, unknown, confirmed=False),
    }


def _unknown_session() -> str:
    """The key of a session that does not exist."""
    return f"doctor-{uuid.uuid4().hex}"


def _check_token(status: int) -> None:
    if status in (401, 403):
        raise UpstreamRefused(f"The agent gateway refuses this proxy's token ({status}).")


async def about(request: web.Request) -> web.Response:
    """The request as it arrived, and the settings that servers in front of the proxy have to fit."""
    config = request.app[RUNTIME].config
    body = {
        "version": __version__,
        "form": FORM,
        "python": python_build(),
        "http": f"{request.version.major}.{request.version.minor}",
        "connection": request.headers.get("Connection", ""),
        "peer": _peer(request),
        "request_id": request[CONTEXT].request_id,
        "authorized": "Authorization" in request.headers,
        "max_body": config.max_body,
        "keep_alive": config.keep_alive,
        "keep_alive_form": config.keep_alive_form,
        "confirmations": config.confirmations,
        "secret": origin_of(config),
        "tells_access": True,
        "routes": _routes(server_of(request).apis),
    }
    return web.json_response(body)


def _routes(apis: Sequence[ClientApi]) -> list[tuple[str, str, str]]:
    """The routes of all APIs: method, path behind the prefix with example names, and a header that each answer has."""
    routes = []
    for api in apis:
        *_, header = api.answer_headers("", 0)
        paths = [("POST", api.path), *((route.method, route.path) for route in api.routes)]
        routes += [(method, path.replace("{", "").replace("}", ""), header) for method, path in paths]
    return routes


def _peer(request: web.Request) -> str:
    """A keyed hash of the peer's address: it distinguishes connections and reveals nothing else."""
    peer = str(request.transport and request.transport.get_extra_info("peername"))
    return hashlib.blake2b(peer.encode(), key=request.app[RUNTIME].signing_keys.newest, digest_size=8).hexdigest()


async def gateway(here: Diagnostics, request: web.Request) -> web.Response:
    """The features of the agent gateway."""
    upstream = request.app[RUNTIME].upstream.with_credentials_of(request[CONTEXT].caller)
    return web.json_response(await here.features(upstream))


async def state(here: Diagnostics, request: web.Request) -> web.Response:
    """The state of a test stream, as DiagnosticStreams.state returns it."""
    return web.json_response(here.streams.state(request.match_info["token"]))


async def stream(here: Diagnostics, request: web.Request) -> web.StreamResponse:
    """Test events, sent as answers are."""
    body = await read_body(request, timeout=request.app[RUNTIME].config.body_timeout)
    try:
        wanted = StreamRequest.model_validate_json(body or b"{}")
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidRequest(first["msg"], param=".".join(map(str, first["loc"])) or None) from None
    async with here.streams.watch(_caller_of(request), wanted.token):
        response = _new_response(request, wanted)
        await response.prepare(request)
        async for data in _written(wanted, _new_ping(request)):
            await response.write(data)
        await response.write_eof()
    return response


def _caller_of(request: web.Request) -> str:
    """The key's scope; without keys the address, because an anonymous client can change its header at will."""
    context = request[CONTEXT]
    return context.caller.scope if context.caller.name else context.client


def _new_ping(request: web.Request) -> bytes:
    """A keep-alive in the form of answers."""
    if request.app[RUNTIME].config.keep_alive_form == "comment":
        return KEEP_ALIVE
    envelope = Envelope(DEFAULT_API.id_prefix + request[CONTEXT].request_id, int(time.time()), "diagnostics")
    return DEFAULT_API.new_encoder(envelope, {}).ping()


async def _written(wanted: StreamRequest, ping: bytes) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(wanted.events):
        yield encode(json.dumps({"number": number, "at": loop.time() - began}).encode())
        if number == 0:
            async for _ in _silence(wanted):
                yield ping
        if number < wanted.events - 1:
            await asyncio.sleep(wanted.interval)


async def _silence(wanted: StreamRequest) -> AsyncIterator[None]:
    """Yields whenever a ping is due."""
    left = wanted.silence
    while wanted.pings and left > wanted.pings:
        await asyncio.sleep(wanted.pings)
        left -= wanted.pings
        yield
    await asyncio.sleep(left)


def _new_response(request: web.Request, wanted: StreamRequest) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform"}
    response = web.StreamResponse(headers=headers)
    if wanted.accel:
        response.headers["X-Accel-Buffering"] = "no"
    if request.version < HttpVersion11:
        response.headers["Connection"] = "close"
        response.force_close()
    else:
        response.enable_chunked_encoding()
    return response
