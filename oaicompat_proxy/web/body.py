"""The request's body: whole, decompressed, in time, and within its limit."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import BodyTooLarge, InvalidRequest, RequestTimeout


async def read_body(request: web.Request, *, timeout: float) -> bytes:
    """Raises BodyTooLarge, RequestTimeout, or InvalidRequest for a body that breaks its own framing."""
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(timeout):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge("The request body is larger than this server takes.") from None
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout:g} seconds.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("We could not read the body of your request.") from None
