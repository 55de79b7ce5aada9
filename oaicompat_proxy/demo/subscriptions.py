"""`/events` and `/subscribe`: subscriptions to the frames of a session, besides the response to `/send`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .frames import stringify
from .http_bodies import STREAM_HEADERS, HttpError, json_response, read_body
from .state import GatewayState, Subscriber

HEARTBEAT = b":heartbeat\n\n"


async def events(request: web.Request, state: GatewayState) -> web.StreamResponse:
    """An endless event stream: a connection frame, the frames of the subscribed sessions, heartbeats between them."""
    response = web.StreamResponse(headers=STREAM_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    subscriber = Subscriber(str(uuid.uuid4()), request.query.get("clientId"))
    connected = {"type": "connection", "connectionId": subscriber.id, "subscriptions": []}
    state.subscribers[subscriber.id] = subscriber
    state.notifier.notify()
    try:
        await response.write(b"data: " + stringify(connected) + b"\n\n")
        await _forward_frames(subscriber, response, state)
    except ConnectionError:
        return response
    finally:
        del state.subscribers[subscriber.id]
        state.notifier.notify()
    return response


async def _forward_frames(subscriber: Subscriber, response: web.StreamResponse, state: GatewayState) -> None:
    """Sends frames until the client disconnects or the gateway restarts; after `events_limit` bytes only heartbeats."""
    limit, sent = state.settings.events_limit, 0
    while (item := await _next(subscriber, state.settings.heartbeat)) is not None:
        sent += len(item)
        if not limit or sent <= limit or item is HEARTBEAT:
            await response.write(item)


async def _next(subscriber: Subscriber, heartbeat: float) -> bytes | None:
    try:
        async with asyncio.timeout(heartbeat):
            return await subscriber.frames.get()
    except TimeoutError:
        return HEARTBEAT


async def subscribe(request: web.Request, state: GatewayState) -> web.StreamResponse:
    body = await read_body(request, state)
    found = _find_subscriber(body, state)
    add, remove = (_session_keys(body.get(name), state) for name in ("add", "remove"))
    if state.settings.form == "embedded":
        if not (add or remove or body.get("sessionId")):
            raise HttpError(400, "sessionId, add[], or remove[] is required")
        add += _session_keys([body.get("sessionId")], state)
    if found:
        found.keys = [key for key in {*found.keys, *add} if key not in remove]
    if state.settings.form == "embedded":
        return json_response({"ok": True})
    return json_response({"subscriptions": sorted(found.keys if found else [])})


def _find_subscriber(body: Mapping[str, Any], state: GatewayState) -> Subscriber | None:
    names = (body.get("connectionId"), body.get("clientId"))
    if state.settings.form == "embedded" and not any(names):
        raise HttpError(400, "clientId or connectionId is required")
    for subscriber in state.subscribers.values():
        if names[0] == subscriber.id or (names[1] and names[1] == subscriber.client_id):
            return subscriber
    if state.settings.form != "embedded":
        raise HttpError(404, "Connection not found")
    return None


def _session_keys(session_ids: Any, state: GatewayState) -> list[str]:
    names = session_ids if isinstance(session_ids, list) else []
    return [state.sessions.key(name) for name in names if isinstance(name, str)]
