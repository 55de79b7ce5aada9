"""The request's body: whole, decompressed, in time, and within its limit."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import BodyTooLarge, InvalidRequest, RequestTimeout
from .keys import BODY, CONFIG, RECORDING

Body = TypeVar("Body", bytes, bytearray)


async def take_body(request: web.Request) -> bytes:
    """Of a request for a run; raises as `read_body`. It is read already where it says whether the run is a new one."""
    if request[RECORDING] is None:
        return await read_body(request)
    body: bytes = request.pop(BODY)
    return body


async def read_body(request: web.Request) -> bytes:
    """Raises BodyTooLarge, RequestTimeout, or InvalidRequest for a body that breaks its own framing."""
    content, config = request.content, request.app[CONFIG]
    try:
        if content.is_eof():  # all of it is here, and nothing has to be waited for
            return _bounded(content.read_nowait(), config.max_body)
        async with asyncio.timeout(config.body_timeout):
            return await _read(content, config.max_body)
    except TimeoutError:
        limit = config.body_timeout
        raise RequestTimeout(f"The request body did not arrive within {limit:g} seconds.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("We could not read the body of your request.") from None


async def _read(content: StreamReader, limit: int) -> bytes:
    """As the framework's own `read`, but the request does not hold its body for as long as the answer takes."""
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        _bounded(body, limit)
    return bytes(body)


def _bounded(body: Body, limit: int) -> Body:
    """The same. Raises BodyTooLarge."""
    if len(body) > limit:
        raise BodyTooLarge("The request body is larger than this server takes.")
    return body
