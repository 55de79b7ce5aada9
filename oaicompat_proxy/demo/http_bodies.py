"""Request and response bodies of the demo gateway's routes, read and checked as the real gateway does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .frames import stringify
from .settings import GatewaySettings
from .state import GatewayState

CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
    "Access-Control-Allow-Credentials": "true",
}
STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    **CORS_HEADERS,
}


STANDALONE_ERROR = "Invalid message format. Expected { role, content: ContentBlock[] }"
EMBEDDED_ERROR = "Invalid message format. Expected { messages: Message[] }"
NEWER_ERROR = "Invalid send format. Expected { messages: Message[] } or { message: Message }"
MESSAGE_FIELDS = ("role", "content", "metadata", "id")
"""Fields of a message that the `/send` of release 0.9 forwards to the session."""


class HttpError(Exception):
    """Answers the request with this status and `{"error": message}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


async def read_raw(request: web.Request) -> tuple[bytes, str]:
    """The body as bytes and as text. Each chunk is decoded alone, as it comes from the socket.

    So a character that is split between two chunks is lost, as in the real gateway.
    """
    if not request.body_exists:  # the stream that aiohttp shares between such requests never ends
        return b"", ""
    chunks = [chunk async for chunk, _ in request.content.iter_chunks()]
    return b"".join(chunks), "".join(chunk.decode("utf-8", "replace") for chunk in chunks)


def json_response(body: Any, status: int = 200) -> web.Response:
    if body is None:
        return web.Response(status=status, headers=CORS_HEADERS)
    return web.Response(
        body=stringify(body), status=status, headers={**CORS_HEADERS, "Content-Type": "application/json"}
    )


async def read_body(request: web.Request, state: GatewayState) -> Any:
    raw, text = await read_raw(request)
    state.record_request(request.path, raw)
    return parse_body(text)


def parse_body(text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if body is None:
        raise HttpError(400, "Invalid request body")
    return body if isinstance(body, dict) else {}


def messages_to_send(body: Mapping[str, Any], settings: GatewaySettings) -> list[dict[str, Any]]:
    """The messages for the session: one with the transports of 0.9, all with the newer transports."""
    if not settings.is_newer:
        return [_single_message(body, settings.form)]
    if settings.form == "embedded":
        _embedded_message(body)
    return [message for message in _all_messages(body) if isinstance(message, dict)]


def _all_messages(body: Mapping[str, Any]) -> list[Any]:
    """The newer standalone transport does not check the content, and accepts an empty list."""
    messages, message = body.get("messages"), body.get("message")
    if isinstance(messages, list):
        return messages
    if isinstance(message, dict) and message.get("role"):
        return [message]
    raise HttpError(400, NEWER_ERROR)


def _single_message(body: Mapping[str, Any], form: str) -> dict[str, Any]:
    if form == "both":
        form = "embedded" if "messages" in body and "message" not in body else "standalone"
    message = _standalone_message(body) if form == "standalone" else _embedded_message(body)
    return {key: message[key] for key in MESSAGE_FIELDS if message.get(key) is not None}


def _standalone_message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    message = body.get("message")
    if isinstance(message, dict) and message.get("role") and isinstance(message.get("content"), list):
        return message
    raise HttpError(400, STANDALONE_ERROR)


def _embedded_message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise HttpError(400, EMBEDDED_ERROR)
    if not isinstance(messages[0], dict):
        raise HttpError(500, "Internal server error")
    return messages[0]
