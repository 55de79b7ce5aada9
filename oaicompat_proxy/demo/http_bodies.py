"""The bodies of the demo gateway's routes: read as the real one reads them, checked as it checks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .frames import stringify
from .settings import GatewaySettings
from .state import House

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
    "Access-Control-Allow-Credentials": "true",
}
STREAM = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    **CORS,
}


STANDALONE_SHAPE = "Invalid message format. Expected { role, content: ContentBlock[] }"
EMBEDDED_SHAPE = "Invalid message format. Expected { messages: Message[] }"
NEWER_SHAPE = "Invalid send format. Expected { messages: Message[] } or { message: Message }"
KEPT = ("role", "content", "metadata", "id")
"""The fields of a message that `/send` passes on."""


class Refused(Exception):
    """A request that gets a status and `{"error": …}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


async def read_raw(request: web.Request) -> tuple[bytes, str]:
    """The body, and what the gateway makes of it: each chunk is decoded alone, as it comes from the socket.

    A character that is cut between two chunks is lost; this is the real gateway's fault.
    """
    if not request.body_exists:  # the stream that aiohttp shares between such requests never ends
        return b"", ""
    chunks = [chunk async for chunk, _ in request.content.iter_chunks()]
    return b"".join(chunks), "".join(chunk.decode("utf-8", "replace") for chunk in chunks)


def answer(body: Any, status: int = 200) -> web.Response:
    if body is None:
        return web.Response(status=status, headers=CORS)
    return web.Response(body=stringify(body), status=status, headers={**CORS, "Content-Type": "application/json"})


async def body_of(request: web.Request, house: House) -> Any:
    raw, text = await read_raw(request)
    house.note(request.path, raw)
    return parse(text)


def parse(text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if body is None:
        raise Refused(400, "Invalid request body")
    return body if isinstance(body, dict) else {}


def messages_of(body: Mapping[str, Any], settings: GatewaySettings) -> list[dict[str, Any]]:
    """What `/send` delivers: one message on the wire of 0.9, all of them on the newer one."""
    if not settings.is_newer:
        return [_message_of(body, settings.form)]
    if settings.form == "embedded":
        _first(body)
    return [message for message in _all(body) if isinstance(message, dict)]


def _all(body: Mapping[str, Any]) -> list[Any]:
    """The newer standalone transport checks no content, and takes an empty list."""
    messages, message = body.get("messages"), body.get("message")
    if isinstance(messages, list):
        return messages
    if isinstance(message, dict) and message.get("role"):
        return [message]
    raise Refused(400, NEWER_SHAPE)


def _message_of(body: Mapping[str, Any], form: str) -> dict[str, Any]:
    if form == "both":
        form = "embedded" if "messages" in body and "message" not in body else "standalone"
    message = _only(body) if form == "standalone" else _first(body)
    return {key: message[key] for key in KEPT if message.get(key) is not None}


def _only(body: Mapping[str, Any]) -> Mapping[str, Any]:
    message = body.get("message")
    if isinstance(message, dict) and message.get("role") and isinstance(message.get("content"), list):
        return message
    raise Refused(400, STANDALONE_SHAPE)


def _first(body: Mapping[str, Any]) -> Mapping[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, EMBEDDED_SHAPE)
    if not isinstance(messages[0], dict):
        raise Refused(500, "Internal server error")
    return messages[0]
