"""The request's body: whole, decompressed, in time, and within its limit."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import BodyTooLarge, InvalidRequest, RequestTimeout
from .keys import BODY, CONFIG


async def read_body(request: web.Request, *, timeout: float) -> bytes:
    """Raises BodyTooLarge, RequestTimeout, or InvalidRequest for a body that breaks its own framing."""
    if BODY in request:
        body: bytes = request.pop(BODY)
        return body
    try:
        if request.content.is_eof():
            return await _read(request, request.app[CONFIG].max_body)
        async with asyncio.timeout(timeout):
            return await _read(request, request.app[CONFIG].max_body)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout:g} seconds.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("We could not read the body of your request.") from None


async def _read(request: web.Request, limit: int) -> bytes:
    """As the framework's own `read`, but the request does not hold its body for as long as the answer takes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise BodyTooLarge("The request body is larger than this server takes.")
    return b"".join(pieces)
