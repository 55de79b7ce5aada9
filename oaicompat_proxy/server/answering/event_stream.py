"""The client's side of one streamed answer: commits late, is kept warm, ends once (decisions D1 and D2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict

from ...config.settings import Config
from ...core.errors import ProxyError
from ..deadlines import Deadlines
from ..http.aiohttp_internals import BufferedHead
from ..http.send_progress import drop
from ..sinks import StreamSource

HIGH_WATER = 64 * 1024
"""Bytes that wait for a client before its agent is left alone: asyncio's own limit for a transport."""

SURELY_TAKEN = HIGH_WATER // 2
"""Bytes that a transport takes without a wait, with headers and framing around them."""


def surely_takes(transport: asyncio.WriteTransport | None, size: int) -> bool:
    """Whether so many more bytes are sent without a wait for the client, so that no clock is needed."""
    return transport is not None and transport.get_write_buffer_size() + size <= SURELY_TAKEN


class ClientGone(Exception):
    """The client has left, or takes nothing any more: there is nobody to tell."""


HEADERS = CIMultiDict(
    {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache, no-transform",
        "Connection": "keep-alive",
        "X-Accel-Buffering": "no",
    }
)
"""So that no proxy in between holds back or changes what is streamed."""


class EventStream(BufferedHead, EventSourceResponse):
    """aiohttp-sse's response. Its own keep-alives are comments, which some clients take for nothing: they are off."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        writer = await super().prepare(request)
        self.stop_streaming()
        return writer


class AnswerStream:
    """A context for one answer. The first `write` commits to status 200.

    If nothing was written after `first_event_wait` seconds it commits by itself: with what opens the source, or with
    a ping if the answer begins with its text. From the first write on there is a keep-alive each `keep_alive` seconds.
    """

    __slots__ = (
        "_chunked",
        "_config",
        "_deadlines",
        "_early",
        "_loop",
        "_ping_timer",
        "_request",
        "_response",
        "_source",
        "_stream",
        "_transport",
        "_writer",
    )

    def __init__(
        self,
        request: web.Request,
        config: Config,
        deadlines: Deadlines,
        source: StreamSource,
    ) -> None:
        """`deadlines`: of `first_event_wait`. A ping of no bytes is not sent."""
        self._request = request
        self._loop = request.task.get_loop()
        self._deadlines = deadlines
        self._config = config
        self._source = source
        self._chunked = request.version >= HttpVersion11
        # moving
        self._response: web.StreamResponse | None = None
        self._stream: EventStream | None = None
        """The same, if it takes time."""
        self._early: asyncio.Task[None] | None = None
        self._ping_timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._deadlines.set(self, self._loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.lift(self)
        if self._early is not None:
            self._early.cancel()
            with contextlib.suppress(asyncio.CancelledError, ClientGone):
                await self._early
        self._stop_pings()

    @property
    def committed(self) -> bool:
        return self._response is not None

    @property
    def response(self) -> web.StreamResponse:
        """The response that was committed to."""
        assert self._response is not None
        return self._response

    async def write(self, data: bytes) -> None:
        """Whole events only, so that a keep-alive never falls inside one. Raises ClientGone."""
        self._deadlines.lift(self)
        if self._early is not None:
            await self._early
        await self._send(data)

    def push(self, data: bytes) -> bool:
        """Like `write`, only after it and at once: no task has to wake up for it. Raises ClientGone.

        Returns whether the client keeps up; if not, wait for `drained` before the next.

        Writes the chunk (RFC 9112, 7.1) itself: 0.4 µs, where aiohttp's coroutine takes 1.9 µs.
        """
        transport = self._transport
        if transport.is_closing():
            raise ClientGone
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        transport.write(data)
        self._writer.output_size += len(data)
        return transport.get_write_buffer_size() <= HIGH_WATER

    async def drained(self) -> None:
        """Returns when the client has taken enough. Raises ClientGone."""
        await self._in_time(self._writer.drain())

    async def end(self, data: bytes) -> None:
        """The last write. Raises ClientGone."""
        self._deadlines.lift(self)
        if self._early is not None:
            await self._early
        if self._stream is None:
            await self._deliver(self._send_whole(data), len(data))
        else:
            self._stop_pings()
            await self._deliver(self._stream.write_eof(data), len(data))

    async def fail(self, error: ProxyError) -> None:
        """Tells a client that already has status 200 what went wrong."""
        with contextlib.suppress(ClientGone):
            await self.end(self._source.fail(error))

    def miss_deadline(self) -> None:
        """Nothing was written in time."""
        self._early = asyncio.create_task(self._send(self._source.open() or self._source.ping()), name="commit early")

    async def _send_whole(self, data: bytes) -> None:
        response = self._response = BufferedHead(headers=HEADERS)
        self._end_by_close(response)
        await response.prepare(self._request)
        await response.write_eof(data)

    async def _send(self, data: bytes) -> None:
        if self._stream is None:
            self._response = self._stream = self._new_stream()
            await self._deliver(self._prepare(self._stream), 0)
            self._schedule_ping()
        await self._deliver(self._stream.write(data), len(data))

    async def _prepare(self, response: EventStream) -> None:
        writer, transport = await response.prepare(self._request), self._request.transport
        if writer is None or transport is None:
            raise ConnectionResetError
        self._writer, self._transport = writer, transport

    async def _deliver(self, sending: Awaitable[None], size: int) -> None:
        """Raises ClientGone. Only what may have to wait for the client gets a clock."""
        if not surely_takes(self._request.transport, size):
            await self._in_time(sending)
            return
        try:
            await sending
        except ConnectionError as exc:
            raise ClientGone from exc

    async def _in_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._config.send_timeout):
                await sending
        except TimeoutError as exc:
            drop(self._request.transport)  # a reader that stalls never lets a close through
            raise ClientGone from exc
        except ConnectionError as exc:
            raise ClientGone from exc

    def _new_stream(self) -> EventStream:
        stream = EventStream(allow_all_methods=True, send_timeout=self._config.send_timeout)
        stream.headers.update(HEADERS)
        self._end_by_close(stream)
        return stream

    def _schedule_ping(self) -> None:
        self._ping_timer = self._loop.call_later(self._config.keep_alive, self._send_ping)

    def _send_ping(self) -> None:
        """Unless something else is still on its way to the client, which keeps the connection alive as well."""
        self._schedule_ping()
        if not self._transport.get_write_buffer_size() and (data := self._source.ping()):
            with contextlib.suppress(ClientGone):
                self.push(data)

    def _stop_pings(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()

    def _end_by_close(self, response: web.StreamResponse) -> None:
        """For a client that knows no chunks: only the close ends the body, and aiohttp would keep the connection."""
        if not self._chunked:
            response.headers["Connection"] = "close"
            response.force_close()
