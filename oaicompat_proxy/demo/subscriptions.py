"""`/events` and `/subscribe`: a second way to see the frames of a session, which changes nothing in it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .frames import stringify
from .http_bodies import STREAM, Refused, answer, body_of
from .state import House, Listener

HEARTBEAT = b":heartbeat\n\n"


async def events(request: web.Request, house: House) -> web.StreamResponse:
    """Stays open: a connection frame, then frames of the subscribed sessions, comments between them."""
    response = web.StreamResponse(headers=STREAM)
    response.enable_chunked_encoding()
    await response.prepare(request)
    listener = Listener(str(uuid.uuid4()), request.query.get("clientId"))
    hello = {"type": "connection", "connectionId": listener.id, "subscriptions": []}
    house.listeners[listener.id] = listener
    house.bell.ring()
    try:
        await response.write(b"data: " + stringify(hello) + b"\n\n")
        await _pass_on(listener, response, house)
    except ConnectionError:
        return response
    finally:
        del house.listeners[listener.id]
        house.bell.ring()
    return response


async def _pass_on(listener: Listener, response: web.StreamResponse, house: House) -> None:
    """Until the reader leaves or the gateway restarts; behind the limit only comments are sent."""
    limit, sent = house.settings.events_limit, 0
    while (item := await _next(listener, house.settings.heartbeat)) is not None:
        sent += len(item)
        if not limit or sent <= limit or item is HEARTBEAT:
            await response.write(item)


async def _next(listener: Listener, heartbeat: float) -> bytes | None:
    try:
        async with asyncio.timeout(heartbeat):
            return await listener.frames.get()
    except TimeoutError:
        return HEARTBEAT


async def subscribe(request: web.Request, house: House) -> web.StreamResponse:
    body = await body_of(request, house)
    found = _listener(body, house)
    add, remove = (_keys(body.get(name), house) for name in ("add", "remove"))
    if house.settings.form == "embedded":
        if not (add or remove or body.get("sessionId")):
            raise Refused(400, "sessionId, add[], or remove[] is required")
        add += _keys([body.get("sessionId")], house)
    if found:
        found.keys = [key for key in {*found.keys, *add} if key not in remove]
    if house.settings.form == "embedded":
        return answer({"ok": True})
    return answer({"subscriptions": sorted(found.keys if found else [])})


def _listener(body: Mapping[str, Any], house: House) -> Listener | None:
    names = (body.get("connectionId"), body.get("clientId"))
    if house.settings.form == "embedded" and not any(names):
        raise Refused(400, "clientId or connectionId is required")
    for listener in house.listeners.values():
        if names[0] == listener.id or (names[1] and names[1] == listener.client_id):
            return listener
    if house.settings.form != "embedded":
        raise Refused(404, "Connection not found")
    return None


def _keys(session_ids: Any, house: House) -> list[str]:
    names = session_ids if isinstance(session_ids, list) else []
    return [house.sessions.key(name) for name in names if isinstance(name, str)]
