"""Every private name of aiohttp and aiohttp-sse that this package uses. No other module may use one.

Each is here because there is no public equivalent. The test of this module checks what each means; setup.cfg bounds the
versions, since a changed meaning would break limits and time-outs without an error.

Source: aiohttp 3.14.4, web_protocol.py and web_response.py; aiohttp-sse 3.0.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_parser import HttpRequestParser
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo
from aiohttp_sse import EventSourceResponse

from ...core.errors import without_trace

_NO_PIECES: deque[bytes] = deque(maxlen=0)
"""The buffer of all bodies that were read; appends to it have no effect."""


_END_OF_HEAD = b"\r\n\r\n"

MAX_JOINED = 64 * 1024
"""Bytes of the largest response that is copied into one piece. Of a larger body the connection holds no copy, so all
clients that read the same stored answer share its bytes."""

_AT_START = -1
"""The next bytes of a connection are the first of a request."""


class _Queue(list[Any]):
    """The requests that wait on a connection, as a list: an empty deque takes 760 bytes, an empty list 56.

    `popleft` drops the raw headers, which nothing reads: 150 bytes each until the answer ends.
    """

    __slots__ = ()

    def popleft(self) -> Any:
        message, body = self.pop(0)
        return (message if type(message) is _ErrInfo else message._replace(raw_headers=())), body


class ParsingState(web.RequestHandler):
    """A connection, with the state of aiohttp's parser and of its requests.

    Bodies stay compressed: those of unauthenticated requests must not be inflated, and `read_body` inflates the others.
    """

    __slots__ = ("_surplus",)

    def __init__(self, manager: web.Server, *, max_field_size: int = 8190, **settings: Any) -> None:
        """Parameters as of `web.RequestHandler`."""
        super().__init__(manager, max_field_size=max_field_size, auto_decompress=False, **settings)
        self._messages = _Queue()  # type: ignore[assignment]
        self.max_field_size = max_field_size  # aiohttp has the slot and leaves it empty
        # state
        self._surplus: float = _AT_START
        """Bytes that have come after the head of the current request, or more if that is not known."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def is_idle(self) -> bool:
        """No request is in the queue or being answered: aiohttp waits for the next one."""
        waiter = self._waiter
        return waiter is not None and not waiter.done()

    @property
    def has_parse_error(self) -> bool:
        """The last entry of the queue is a parse error."""
        return bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)

    @property
    def has_read_request(self) -> bool:
        """A request with a complete body is being answered, and no other request is in the queue."""
        request = self._current_request
        return request is not None and not self._messages and request.content.is_eof()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            if not data:  # "parse what you have": it has nothing
                return
            self._renew_parser()
        if self._surplus >= 0:
            self._surplus += len(data)
        else:
            end = data.find(_END_OF_HEAD)
            self._surplus = len(data) - end - len(_END_OF_HEAD) if end >= 0 else math.inf
        super().data_received(data)
        last = self._messages[-1][0] if self._messages else None
        if isinstance(last, _ErrInfo):  # its frames hold the read and the error: a cycle of up to 256 KB
            without_trace(last.exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        body = request.content
        self._surplus = (self._surplus - body.total_bytes if body.is_eof() else math.inf) or _AT_START
        return finished

    def drop_parser(self) -> None:
        """Frees the parser, and with it a copy of the headers, if it holds no bytes: 2 KB during a long answer.

        The next bytes get a new one. A parser does not say what it holds, so the bytes are counted. It stays if they
        are more than the body: some of them belong to the next request, or the body came in chunks.
        """
        request = self._current_request
        if (request is not None and self._surplus == request.content.total_bytes and self.has_read_request) and not (
            self._upgraded or self._reading_paused or self._buffer_paused
        ):
            self._parser = None

    def _renew_parser(self) -> None:
        """Makes a parser as aiohttp does for a new connection."""
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def queue_error(self, status: int, error: BaseException, message: str) -> None:
        """Queues an error as a malformed request, which `handle_error` answers. Only if it is idle."""
        assert self._waiter is not None
        self._messages.append((_ErrInfo(status, error, message), EMPTY_PAYLOAD))
        self._waiter.set_result(None)
        self._close = True


class BufferedHead(web.StreamResponse):
    """Sends its head in one packet with the first bytes of its body, as `web.Response` does."""

    _send_headers_immediately = False


class EventStream(BufferedHead, EventSourceResponse):
    """aiohttp-sse's response, without its keep-alives: they are comments, which some clients ignore.

    The kernel aborts the connection once sent bytes stay unacknowledged for `send_timeout` seconds. A client that has
    vanished is noticed although keep-alives still fit the kernel's buffer.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the headers. aiohttp-sse's own method would also start the task of its keep-alives."""
        self._set_tcp_user_timeout(request)
        return await super(EventSourceResponse, self).prepare(request)


class OnePacket(web.StreamResponse):
    """A response of status 200 whose head and body are sent in one packet, to a client of HTTP/1.1.

    Its methods take the place of `prepare` and `write_eof`, whose nine coroutines take 25 k instructions more. The
    headers must hold all that aiohttp adds, in its order: `Content-Length` or `Transfer-Encoding`, `Date`, `Server`.
    """

    def send_chunk(self, request: web.BaseRequest, body: Sequence[bytes], size: int) -> Coroutine[Any, Any, None]:
        """Sends the body, pieces of `size` bytes together, as its only chunk."""
        request.writer.enable_chunking()
        return self._send(request, size, b"%x\r\n" % size, *body, b"\r\n0\r\n\r\n")

    def send_body(self, request: web.BaseRequest, body: bytes) -> Coroutine[Any, Any, None]:
        """Sends the body with its length."""
        self._headers[hdrs.CONTENT_LENGTH] = str(len(body))
        return self._send(request, len(body), body)

    async def _send(self, request: web.BaseRequest, size: int, *framed_body: bytes) -> None:
        writer = self._payload_writer = request.writer
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        headers = self._headers
        headers[hdrs.DATE] = rfc822_formatted_time()
        if not self._keep_alive:
            headers.setdefault(hdrs.CONNECTION, "close")
        await request._prepare_hook(self)
        head, transport = _serialize_headers("HTTP/1.1 200 OK", headers), request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        pieces = (head, *framed_body)
        if size > MAX_JOINED:
            transport.writelines(pieces)
            writer.output_size += sum(map(len, pieces))
        else:
            transport.write(packet := b"".join(pieces))
            writer.output_size += len(packet)
        self._eof_sent = True
        await writer.drain()


def take_body(body: StreamReader) -> bytes:
    """A body that has arrived completely. Its buffer is freed: a deque of 760 bytes.

    aiohttp's `read_nowait` has the connection read on, which an incomplete body may need: 10 k instructions more.
    """
    if (error := body.exception()) is not None:
        raise error
    if body.at_eof():
        return b""
    pieces, body._buffer = body._buffer, _NO_PIECES
    return b"".join(pieces)


def has_buffered(body: StreamReader) -> bool:
    """The next read of the body returns without waiting."""
    return bool(body._buffer)


def release_unused(request: web.Request) -> None:
    """Frees memory that a request does not need during a long answer.

    Its cached properties are computed again when they are read. The keep-alive timer of its connection is set again by
    aiohttp after the answer.
    """
    request._cache.clear()
    connection = request.protocol
    if isinstance(connection, ParsingState):
        connection.drop_parser()
    if connection._keepalive_handle is not None:
        connection._keepalive_handle.cancel()
        connection._keepalive_handle = None
