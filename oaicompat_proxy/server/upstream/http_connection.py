"""One connection to the gateway, one exchange at a time, parsed by httptools."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import cast

import httptools

from ...core.errors import UpstreamError, UpstreamInterrupted
from ..event_loop.turn_budget import KEPT_UNPAUSED, turn_budget
from .http_exchange import Exchange, Limits

RECEIVE_BUFFER = 128 * 1024
"""Bytes that the kernel buffers while nothing is read. Its default would hold megabytes of a run with a slow client."""

MAX_HEAD = 64 * 1024
"""Bytes without any of a body in a row: a status line and headers, or trailers."""

MANY_CHUNKS = 100
"""Chunks of a read that are kept apart, because a reader need not look for frames in them then. Fewer are joined."""

LARGE_READ = 64 * 1024
"""Bytes of a read that are handled at once. Events without content take up to 0.6 us a byte, and the event loop reads
up to 256 KB."""


class _UnexpectedResponse(Exception):
    """The gateway sent a second response to one request."""


class HttpConnection(asyncio.Protocol):
    """One TCP connection, or one to a Unix socket."""

    __slots__ = (
        "_budget",
        "_chunks",
        "_deferred_size",
        "_exchange",
        "_head",
        "_head_size",
        "_on_closed",
        "_on_idle",
        "_parser",
        "_poll",
        "_reusable",
        "_transport",
        "deferred",
        "loop",
        "lost",
        "on_body",
        "on_header",
        "paused",
    )

    def __init__(self, on_idle: Callable[[HttpConnection], None], on_closed: Callable[[HttpConnection], None]) -> None:
        """`on_idle` is called after each exchange that leaves the connection reusable."""
        self._on_idle = on_idle
        self._on_closed = on_closed
        self.loop = asyncio.get_running_loop()
        self._budget = turn_budget()
        # state
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append
        """httptools' callback for each chunk of a body: a bound list.append, so a chunk costs no Python frame."""
        self._head: dict[bytes, bytes] = {}
        self.on_header = self._head.setdefault
        """Likewise for each header and trailer: the first of a name counts."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        """None once the connection is lost."""
        self._poll: select.poll | None = None
        self._exchange: Exchange | None = None
        self._head_size = 0
        self._reusable = False
        self.deferred: list[bytes | memoryview] | None = None
        """Reads, or pieces of one, that wait for the budget of another turn."""
        self._deferred_size = 0
        self.paused = False
        self.lost = False

    def start(self, request: bytes, limits: Limits) -> Exchange:
        """Sends a request on an idle connection."""
        assert self._transport is not None
        self._head_size = 0
        self._exchange = Exchange(self, limits)
        self._transport.write(request)
        return self._exchange

    def is_usable(self) -> bool:
        """Whether neither side has closed it, as far as this machine knows.

        Polls the socket: an idle connection becomes readable only by its close, which the event loop may not have
        reported yet. A run that is sent there would be lost, and is never repeated.
        """
        transport = self._transport
        if self.lost or transport is None or transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    def close(self) -> None:
        self._exchange = None  # it has failed or is complete, so the close adds nothing
        self.deferred = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if not self.paused and self._transport is not None and not self.lost:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused and self._transport is not None and not self.lost:
            self.paused = False
            if not self.deferred:
                self._transport.resume_reading()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def data_received(self, data: bytes | memoryview) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()  # no request is open
            return
        if len(data) > LARGE_READ:
            self._receive_in_pieces(data)
            return
        budget = self._budget
        if self.deferred or (budget.left <= 0 and not budget.extend()):
            self._defer(data)
            return
        budget.left -= len(data)
        is_valid, had_head = True, exchange.head_complete
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # without an exchange once it is lost
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_valid = False
        chunks = self._chunks
        if chunks:
            self._head_size = 0
            size = len(chunks[0]) if len(chunks) == 1 else self._join_chunks()
        else:
            self._head_size += len(data)
            is_valid = is_valid and self._head_size <= MAX_HEAD
            size = 0
        if exchange.head_complete and not had_head:
            budget.expect_step(size)  # of the task that waits for the head
        exchange.on_chunks(chunks, size)
        chunks.clear()
        if not is_valid:
            exchange.fail(UpstreamError("The agent gateway did not answer as HTTP demands."))
            self.close()
        elif exchange.complete:
            self._end_exchange()

    def _join_chunks(self) -> int:
        """Joins the chunks of a read, unless they are many. Returns their size."""
        chunks = self._chunks
        body = b"".join(chunks)
        if len(chunks) < MANY_CHUNKS:
            chunks[:] = (body,)
        return len(body)

    def _receive_in_pieces(self, data: bytes | memoryview) -> None:
        view = memoryview(data)  # pieces that wait are not copied
        for start in range(0, len(view), LARGE_READ):
            self.data_received(view[start : start + LARGE_READ])

    def _defer(self, data: bytes | memoryview) -> None:
        """Keeps the read for another turn. TLS may bring more although the socket is paused."""
        assert self._transport is not None
        if not self.deferred:
            self._budget.defer(self._receive_deferred)
            self.deferred, self._deferred_size = [], 0
        self.deferred.append(data)
        self._deferred_size += len(data)
        if self._deferred_size > KEPT_UNPAUSED and not self.lost:
            self._transport.pause_reading()

    def _receive_deferred(self) -> None:
        waiting, self.deferred = self.deferred, None
        if not waiting:  # closed or lost
            return
        if self._transport is not None and not self.paused and not self.lost:
            self._transport.resume_reading()
        if self._deferred_size <= LARGE_READ:
            waiting = [b"".join(waiting)]
        for data in waiting:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        while self.deferred:
            self._budget.allow()
            self._receive_deferred()
        self._parser = self._transport = None  # they refer to this connection, which is freed at once without them
        self._on_closed(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if not exchange.head_complete:
            exchange.fail(UpstreamInterrupted("The agent gateway closed the connection without an answer."))
        elif exc is None and not exchange.is_delimited:
            exchange.complete = True
            exchange.on_chunks([], 0)
        else:
            exchange.fail(
                UpstreamInterrupted(
                    "The agent gateway closed the connection before the agent was done; the answer is incomplete."
                )
            )

    def _end_exchange(self) -> None:
        self._budget.expect_step()  # of the task that ends the answer
        self._exchange = None
        if not self._reusable or self.lost:
            self.close()
            return
        self.resume()
        self._on_idle(self)

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            raise _UnexpectedResponse
        self._head.clear()

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        exchange, status = self._exchange, self._parser.get_status_code()
        if exchange is not None and status >= 200:  # an interim response precedes the final one
            exchange.headers = self._head.copy()
            self._head.clear()
            exchange.status = status
            exchange.head_complete = True

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.head_complete and self._parser is not None:
            exchange.complete = True
            self._reusable = self._parser.should_keep_alive()
