"""The client's side of one streamed answer: commits late, is kept warm, ends once (decisions D1 and D2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import HttpVersion11, web
from aiohttp_sse import EventSourceResponse

from ..config import Config
from ..errors import ProxyError
from ..openai.errors import error_ending

HIGH_WATER = 64 * 1024
"""Bytes that wait for a client before its agent is left alone: asyncio's own limit for a transport."""

SURELY_TAKEN = HIGH_WATER // 2
"""Bytes that a transport takes without a wait, with headers and framing around them."""


def surely_takes(transport: asyncio.WriteTransport | None, size: int) -> bool:
    """Whether so many more bytes are sent without a wait for the client, so that no clock is needed."""
    return transport is not None and transport.get_write_buffer_size() + size <= SURELY_TAKEN


class ClientGone(Exception):
    """The client has left, or takes nothing any more: there is nobody to tell."""


class EventStream(EventSourceResponse):
    """The library's response, with as few packets as there are words to send."""

    _send_headers_immediately = False  # but with the first bytes, as aiohttp does for answers that are no streams

    async def send_whole(self, request: web.Request, data: bytes) -> None:
        """All of the stream at once: there is no silence in it, so nothing has to keep it warm."""
        await web.StreamResponse.prepare(self, request)
        await web.StreamResponse.write_eof(self, data)

    def stop_streaming(self) -> None:
        """At any time, and as often as one likes."""
        if self._ping_task is not None:
            self._ping_task.cancel()


class AnswerStream:
    """A context for one answer. The first `write` commits to status 200.

    If nothing was written after `first_event_wait` seconds it commits by itself, with what `opening` returns.
    """

    def __init__(self, request: web.Request, config: Config, opening: Callable[[], bytes]) -> None:
        self._request = request
        self._config = config
        self._opening = opening
        self._chunked = request.version >= HttpVersion11
        # moving
        self._response: EventStream | None = None
        self._early: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = self._request.task.get_loop()
        self._timer = loop.call_later(self._config.first_event_wait, self._commit_early)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._early is not None:
            self._early.cancel()
            with contextlib.suppress(asyncio.CancelledError, ClientGone):
                await self._early
        if self._response is not None:
            self._response.stop_streaming()

    @property
    def committed(self) -> bool:
        return self._response is not None

    @property
    def response(self) -> EventSourceResponse:
        """The response that was committed to."""
        assert self._response is not None
        return self._response

    async def write(self, data: bytes) -> None:
        """Whole events only, so that a keep-alive comment never falls inside one. Raises ClientGone."""
        await self._stop_waiting()
        await self._send(data)

    def push(self, data: bytes) -> bool:
        """Like `write`, only after it and at once: no task has to wake up for it. Raises ClientGone.

        Returns whether the client keeps up; if not, wait for `drained` before the next.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
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
        await self._stop_waiting()
        if self._response is None:
            self._response = self._new_response()
            await self._deliver(self._response.send_whole(self._request, data), len(data))
        else:
            self._response.stop_streaming()
            await self._deliver(self._response.write_eof(data), len(data))

    async def _stop_waiting(self) -> None:
        self._timer.cancel()
        if self._early is not None:
            early, self._early = self._early, None
            await early

    async def fail(self, error: ProxyError) -> None:
        """Tells a client that already has status 200 what went wrong."""
        with contextlib.suppress(ClientGone):
            await self.end(error_ending(error))

    def _commit_early(self) -> None:
        self._early = asyncio.create_task(self._send(self._opening()), name="commit early")

    async def _send(self, data: bytes) -> None:
        if self._response is None:
            self._response = self._new_response()
            await self._deliver(self._prepare(self._response), 0)
        await self._deliver(self._response.write(data), len(data))

    async def _prepare(self, response: EventStream) -> None:
        writer = await response.prepare(self._request)
        assert writer is not None
        self._writer = writer

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
            if self._request.transport is not None:
                self._request.transport.abort()  # a reader that stalls never lets a close through
            raise ClientGone from exc
        except ConnectionError as exc:
            raise ClientGone from exc

    def _new_response(self) -> EventStream:
        response = EventStream(
            allow_all_methods=True,
            sep="\n",
            ping_interval=self._config.keep_alive,
            send_timeout=self._config.send_timeout,
        )
        headers = response.headers
        headers["Content-Type"] = "text/event-stream; charset=utf-8"
        headers["Cache-Control"] = "no-cache, no-transform"
        if not self._chunked:
            # without chunks only the close ends the body, and aiohttp would keep the connection if asked
            headers["Connection"] = "close"
            response.force_close()
        return response
