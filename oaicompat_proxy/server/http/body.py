"""Reads a request's body: decompressed, within its limits of size and time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TypeVar

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ...config.settings import Config
from ...core.errors import BodyTooLarge, InvalidRequest, ProxyError, RequestTimeout, UnsupportedEncoding
from ...core.request import RequestLimits
from ..context import CONTEXT, server_of
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..upstream.decompression import PIECE, SLICE, Inflater
from .aiohttp_internals import has_buffered, take_body

Body = TypeVar("Body", bytes, bytearray)

PIECE_WORK = 512
"""Bytes that could be inflated in the time that a piece of one byte takes: it may be a member of its own."""

TURN_WORK = PIECE // 2
"""Bytes of a large body that are inflated in one turn of the event loop. A slice without output may be hundreds of
empty members.
"""


def limits_of(config: Config) -> RequestLimits:
    """The limits of requests for a run."""
    return RequestLimits(
        media=config.max_media,
        messages=config.max_messages,
        parts=config.max_parts,
        tools=config.max_tools,
        text=config.max_text,
        values=config.max_values,
    )


async def read_body(request: web.Request, *, timeout: float) -> bytes:
    """Reads and inflates the body; unauthenticated requests never get here. `timeout`: in seconds.

    Raises BodyTooLarge, RequestTimeout, UnsupportedEncoding, and InvalidRequest for a malformed body.
    """
    content, limit = request.content, request[CONTEXT].server.config.max_body
    if (request.content_length or 0) > limit:
        raise _too_large()
    inflater = BodyInflater(encoding) if (encoding := _encoding_of(request)) else None
    try:
        if inflater is None and content.is_eof():  # complete already, so it needs no timer
            return _bounded(take_body(content), limit)
        async with asyncio.timeout(timeout):
            return await (_read(content, limit) if inflater is None else _inflate(content, limit, inflater))
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout:g} seconds.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("We could not read the body of your request.") from None


async def answer_expectation(request: web.Request) -> None:
    """`Expect: 100-continue`: sends 100 unless the announced body is too large. Raises HTTPExpectationFailed."""
    if (request.content_length or 0) > server_of(request).config.max_body:
        return  # without 100 the client need not send the body, which `read_body` rejects
    if request.version >= HttpVersion11:
        if request.headers["Expect"].lower() != "100-continue":
            raise web.HTTPExpectationFailed
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _encoding_of(request: web.Request) -> str:
    """The codings of the body, or "". Source: RFC 9110, 8.4; `identity` means none."""
    headers = request.headers.getall("content-encoding", None)
    if headers is None:
        return ""
    codings = ",".join(headers).lower().split(",")
    return ", ".join(coding for word in codings if (coding := word.strip()) not in ("", "identity"))


class BodyInflater(Inflater):
    """gzip or deflate of a request's body."""

    ACCEPTS_NO_HEADER = True
    MAX_RATIO = math.inf
    """The size of a body has its own limit."""

    def unknown(self, encoding: str) -> ProxyError:
        return UnsupportedEncoding("The body of a request may be compressed with gzip or deflate, and in no other way.")

    def broken(self) -> ProxyError:
        return InvalidRequest("We could not read the body of your request: it is not compressed as its header says.")


async def _read(content: StreamReader, limit: int) -> bytes:
    """Like aiohttp's `request.read`, but the request does not keep the body in memory."""
    body = bytearray()
    async for piece in _pieces_of(content):
        body += piece
        _bounded(body, limit)
    return bytes(body)


async def _pieces_of(content: StreamReader) -> AsyncIterator[bytes]:
    """The body as it arrives. Of one-byte chunks, one read has 43,000, which take 50 ms. aiohttp parses 16,384 of them,
    and the others when those are taken. So each part has a turn of its own.
    """
    async for piece in content.iter_any():
        yield piece
        if has_buffered(content):
            await yield_control()


async def _inflate(content: StreamReader, limit: int, inflater: Inflater) -> bytes:
    """The compressed bytes have the same limit as the inflated ones, because they may inflate to nothing."""
    body, received, work = bytearray(), 0, 0
    async for data in _pieces_of(content):
        received += len(data)
        if received > limit:
            raise _too_large()
        for piece in inflater.feed(data):
            body += piece
            _bounded(body, limit)
            work += len(piece) + PIECE_WORK if piece else SLICE
            if work >= TURN_WORK and max(received, len(body)) > LARGE_REQUEST:
                work = 0
                await yield_control()
    if received and not inflater.is_whole:
        raise inflater.broken()
    return bytes(body)


def _bounded(body: Body, limit: int) -> Body:
    """Returns the body. Raises BodyTooLarge."""
    if len(body) > limit:
        raise _too_large()
    return body


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The request body is larger than this server takes.")
