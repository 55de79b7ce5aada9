"""A small agent gateway that speaks Agentick's HTTP protocol, including the faults of the real one.

`oaicompat-proxy --demo` runs this gateway instead of a real one; the tests use it as a scripted agent. The settings
choose the routes, statuses and bodies: of Agentick 0.9.4, its commit 924f879, or the transports of 0.10 to 0.14.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .frames import transport_error
from .http_bodies import STREAM_HEADERS, HttpError, json_response, messages_to_send, read_body
from .invoke_methods import MethodError, invoke
from .replay_buffer import ReplayBuffer
from .runs import RunRecord
from .script import DropConnection
from .sessions import InvalidSessionId, UnknownApp
from .settings import GatewaySettings
from .state import GatewayState
from .subscriptions import events, subscribe

STATE = web.AppKey("oaicompat_proxy.demo.state", GatewayState)
INTERNAL_FRAME = re.compile(
    rb'data: \{"type":"event","event":"(?:compiled|model_request|model_response|provider_request|provider_response)"'
)
"""Frames that the newer standalone transport leaves out of `/send`."""
SHUTDOWN_TIMEOUT = 1.0
"""Seconds that open connections may take to end when the gateway stops."""


def create_gateway(settings: GatewaySettings | None = None) -> web.Application:
    app = web.Application()
    app[STATE] = GatewayState(settings or GatewaySettings())
    app.router.add_route("*", "/{path:.*}", dispatch)
    app.on_shutdown.append(_shut_down)
    return app


@asynccontextmanager
async def serve(settings: GatewaySettings | None = None, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Runs a gateway and yields its base URL. With port 0 the system picks a free port."""
    async with serve_app(create_gateway(settings), host, port) as url:
        yield url


@asynccontextmanager
async def serve_app(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Like `serve`, for an application that the caller has made, to look at its `STATE`."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound[1]}"
    finally:
        await runner.cleanup()


async def _shut_down(app: web.Application) -> None:
    await app[STATE].shut_down()


@dataclass(frozen=True, slots=True)
class Route:
    handle: Callable[[web.Request, GatewayState], Awaitable[web.StreamResponse]]
    post_only: bool = True


async def dispatch(request: web.Request) -> web.StreamResponse:
    """Checks path, method, authentication, body and fields, in this order."""
    state = request.app[STATE]
    try:
        return await _route(request, state).handle(request, state)
    except HttpError as error:
        return json_response({"error": error.message}, error.status)
    except (UnknownApp, InvalidSessionId):
        return json_response({"error": "Internal server error"}, 500)


def _route(request: web.Request, state: GatewayState) -> Route:
    if request.method == "OPTIONS":
        return Route(_preflight)
    route = ROUTES.get(request.path) or (NEWER_ROUTES if _has_newer_routes(state) else {}).get(request.path)
    if route is None:
        raise HttpError(404, "Not found")
    if route.post_only and request.method != "POST":
        raise HttpError(405, "Method not allowed")
    token = state.settings.token
    credentials = [request.headers.get("Authorization")]
    if request.path == "/events":
        credentials.append(f"Bearer {request.query.get('token')}")
    if token is not None and f"Bearer {token}" not in credentials:
        raise HttpError(401, "Authentication failed")
    return route


async def _preflight(request: web.Request, state: GatewayState) -> web.StreamResponse:
    return json_response(None, 204)


def _has_newer_routes(state: GatewayState) -> bool:
    return state.settings.is_newer and state.settings.form != "embedded"


def _send_options(body: Mapping[str, Any], state: GatewayState) -> dict[str, Any]:
    """The fields besides the messages, which only the newer transports read."""
    if not state.settings.is_newer:
        return {}
    metadata = body.get("metadata")
    return {"metadata": metadata if isinstance(metadata, dict) else {}, "skipped_connection": body.get("connectionId")}


async def _send(request: web.Request, state: GatewayState) -> web.StreamResponse:
    body = await read_body(request, state)
    messages = messages_to_send(body, state.settings)
    session_id = "main" if body.get("sessionId") is None else body["sessionId"]
    response = web.StreamResponse(headers=STREAM_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        record, replay = state.send(session_id, *messages, **_send_options(body, state))
    except (UnknownApp, InvalidSessionId) as error:
        await response.write(transport_error(session_id, str(error)))
        return response
    return await _stream(request, response, state, record, replay)


async def _stream(
    request: web.Request, response: web.StreamResponse, state: GatewayState, record: RunRecord, replay: ReplayBuffer
) -> web.StreamResponse:
    record.readers += 1
    hides_internal = state.settings.hides_internal_events
    complete = False
    try:
        async for item in replay.read():
            if isinstance(item, DropConnection):
                if request.transport:
                    request.transport.close()
                break
            if not (hides_internal and not record.is_raw and INTERNAL_FRAME.match(item)):
                await response.write(item)
        complete = True
    except ConnectionError:
        pass
    finally:
        record.reader_left = record.reader_left or not complete
        state.notifier.notify()
    return response


async def _invoke(request: web.Request, state: GatewayState) -> web.StreamResponse:
    body = await read_body(request, state)
    params = body.get("params")
    try:
        return json_response(invoke(state, body.get("method"), params if isinstance(params, dict) else {}))
    except MethodError as error:
        return json_response(error.body, error.status)


async def _abort(request: web.Request, state: GatewayState) -> web.StreamResponse:
    """Stops the run and keeps the session. On the older transports it has no effect."""
    body = await read_body(request, state)
    if not state.settings.is_newer:
        return json_response({"ok": True})
    session_id = body.get("sessionId")
    if not session_id:
        raise HttpError(400, "Missing sessionId")
    if not state.abort(session_id):
        raise HttpError(404 if state.settings.form == "embedded" else 500, "Session not found")
    return json_response({"ok": True})


async def _close(request: web.Request, state: GatewayState) -> web.StreamResponse:
    body = await read_body(request, state)
    settings = state.settings
    if not body.get("sessionId") and settings.form == "embedded":
        raise HttpError(400, "sessionId is required")
    works = settings.form != "standalone" or bool(state.subscribers)
    if works if settings.close_works is None else settings.close_works:
        state.close(body.get("sessionId"))
    return json_response({"ok": True})


async def _channel(request: web.Request, state: GatewayState) -> web.StreamResponse:
    body = await read_body(request, state)
    if state.settings.form != "standalone" and not (body.get("sessionId") and body.get("channel")):
        raise HttpError(400, "sessionId and channel are required")
    return json_response({"ok": True})


async def _tool_response(request: web.Request, state: GatewayState) -> web.StreamResponse:
    """Confirms or denies a tool call. The response is `ok` even if no call waits for a confirmation."""
    body = await read_body(request, state)
    session_id, call_id, result = (body.get(name) for name in ("sessionId", "toolUseId", "result"))
    if not (session_id and call_id and isinstance(result, dict)):
        raise HttpError(400, "Missing sessionId, toolUseId, or result")
    state.confirm(session_id, str(call_id), bool(result.get("approved")))
    return json_response({"ok": True})


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
"""Routes that only the newer standalone transport has."""
