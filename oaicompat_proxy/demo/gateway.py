"""A small agent gateway that speaks the Agentick wire truthfully, faults included.

It lets everything run without a real gateway (`oaicompat-proxy --demo`), over real HTTP, and it is the tests'
scripted agent. Routes, statuses and bodies are those of Agentick 0.9.4, of its commit 924f879, and of the HTTP
transports of Agentick 0.10 to 0.14, as the settings say.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .frames import transport_error
from .http_bodies import STREAM, Refused, answer, body_of, messages_of
from .invoke_methods import MethodError, invoke
from .replay_buffer import Replay
from .runs import RunRecord
from .script import Cut
from .sessions import BadKey, UnknownApp
from .settings import GatewaySettings
from .state import House
from .subscriptions import events, subscribe

STATE = web.AppKey("oaicompat_proxy.demo.state", House)
INTERNAL_FRAME = re.compile(
    rb'data: \{"type":"event","event":"(?:compiled|model_request|model_response|provider_request|provider_response)"'
)
"""What the newer standalone transport keeps from a reader of `/send`."""
SHUTDOWN = 1.0
"""Seconds that open connections get when the gateway stops."""


def create_gateway(settings: GatewaySettings | None = None) -> web.Application:
    app = web.Application()
    app[STATE] = House(settings or GatewaySettings())
    app.router.add_route("*", "/{path:.*}", dispatch)
    app.on_shutdown.append(_shut)
    return app


@asynccontextmanager
async def serve(settings: GatewaySettings | None = None, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Runs a gateway; yields its base URL. With port 0 the system picks one."""
    async with serve_app(create_gateway(settings), host, port) as url:
        yield url


@asynccontextmanager
async def serve_app(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The same for an application whose `STATE` the caller wants to see."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound[1]}"
    finally:
        await runner.cleanup()


async def _shut(app: web.Application) -> None:
    await app[STATE].shut()


@dataclass(frozen=True, slots=True)
class Route:
    handle: Callable[[web.Request, House], Awaitable[web.StreamResponse]]
    post_only: bool = True


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Path, method, authentication, body, fields: checked in this order."""
    house = request.app[STATE]
    try:
        return await _route(request, house).handle(request, house)
    except Refused as refused:
        return answer({"error": refused.message}, refused.status)
    except (UnknownApp, BadKey):
        return answer({"error": "Internal server error"}, 500)


def _route(request: web.Request, house: House) -> Route:
    if request.method == "OPTIONS":
        return Route(_preflight)
    route = ROUTES.get(request.path) or (NEWER_ROUTES if _has_newer_routes(house) else {}).get(request.path)
    if route is None:
        raise Refused(404, "Not found")
    if route.post_only and request.method != "POST":
        raise Refused(405, "Method not allowed")
    token = house.settings.token
    shown = [request.headers.get("Authorization")]
    if request.path == "/events":
        shown.append(f"Bearer {request.query.get('token')}")
    if token is not None and f"Bearer {token}" not in shown:
        raise Refused(401, "Authentication failed")
    return route


async def _preflight(request: web.Request, house: House) -> web.StreamResponse:
    return answer(None, 204)


def _has_newer_routes(house: House) -> bool:
    return house.settings.is_newer and house.settings.form != "embedded"


def _sender(body: Mapping[str, Any], house: House) -> dict[str, Any]:
    """What the newer transports read beside the messages."""
    if not house.settings.is_newer:
        return {}
    metadata = body.get("metadata")
    return {"metadata": metadata if isinstance(metadata, dict) else {}, "besides": body.get("connectionId")}


async def _send(request: web.Request, house: House) -> web.StreamResponse:
    body = await body_of(request, house)
    messages = messages_of(body, house.settings)
    session_id = "main" if body.get("sessionId") is None else body["sessionId"]
    response = web.StreamResponse(headers=STREAM)
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        record, replay = house.send(session_id, *messages, **_sender(body, house))
    except (UnknownApp, BadKey) as error:
        await response.write(transport_error(session_id, str(error)))
        return response
    return await _stream(request, response, house, record, replay)


async def _stream(
    request: web.Request, response: web.StreamResponse, house: House, record: RunRecord, replay: Replay
) -> web.StreamResponse:
    record.readers += 1
    hides = house.settings.hides_internal_events
    whole = False
    try:
        async for item in replay.read():
            if isinstance(item, Cut):
                if request.transport:
                    request.transport.close()
                break
            if not (hides and not record.is_tape and INTERNAL_FRAME.match(item)):
                await response.write(item)
        whole = True
    except ConnectionError:
        pass
    finally:
        record.reader_left = record.reader_left or not whole
        house.bell.ring()
    return response


async def _invoke(request: web.Request, house: House) -> web.StreamResponse:
    body = await body_of(request, house)
    params = body.get("params")
    try:
        return answer(invoke(house, body.get("method"), params if isinstance(params, dict) else {}))
    except MethodError as error:
        return answer(error.body, error.status)


async def _abort(request: web.Request, house: House) -> web.StreamResponse:
    """The newer transports stop the run and keep the session; the older ones stop nothing."""
    body = await body_of(request, house)
    if not house.settings.is_newer:
        return answer({"ok": True})
    session_id = body.get("sessionId")
    if not session_id:
        raise Refused(400, "Missing sessionId")
    if not house.abort(session_id):
        raise Refused(404 if house.settings.form == "embedded" else 500, "Session not found")
    return answer({"ok": True})


async def _close(request: web.Request, house: House) -> web.StreamResponse:
    body = await body_of(request, house)
    settings = house.settings
    if not body.get("sessionId") and settings.form == "embedded":
        raise Refused(400, "sessionId is required")
    works = settings.form != "standalone" or bool(house.listeners)
    if works if settings.close_works is None else settings.close_works:
        house.close(body.get("sessionId"))
    return answer({"ok": True})


async def _channel(request: web.Request, house: House) -> web.StreamResponse:
    body = await body_of(request, house)
    if house.settings.form != "standalone" and not (body.get("sessionId") and body.get("channel")):
        raise Refused(400, "sessionId and channel are required")
    return answer({"ok": True})


async def _tool_response(request: web.Request, house: House) -> web.StreamResponse:
    """An answer to a tool's question; nobody is told if nothing asks."""
    body = await body_of(request, house)
    session_id, call_id, result = (body.get(name) for name in ("sessionId", "toolUseId", "result"))
    if not (session_id and call_id and isinstance(result, dict)):
        raise Refused(400, "Missing sessionId, toolUseId, or result")
    house.confirm(session_id, str(call_id), bool(result.get("approved")))
    return answer({"ok": True})


ROUTES = {
    "/send": Route(_send),
    "/invoke": Route(_invoke),
    "/events": Route(events, post_only=False),
    "/subscribe": Route(subscribe),
    "/abort": Route(_abort),
    "/close": Route(_close),
    "/channel": Route(_channel),
}
NEWER_ROUTES = {"/tool-response": Route(_tool_response)}
"""Of the standalone transport only."""
