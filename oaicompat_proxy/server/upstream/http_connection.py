"""One connection to the gateway, one exchange at a time or some in a row, parsed by httptools."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Sequence
from typing import cast

import httptools

from ...core.errors import UpstreamError, UpstreamInterrupted
from ..deadlines import Deadlines
from .http_exchange import Exchange, Limits

UNREAD = 128 * 1024
"""Bytes that the system holds while nobody reads. By itself it would hold megabytes of a run whose client is slow."""

MAX_HEAD = 64 * 1024
"""Bytes in a row that are no body: an answer's status line and headers, or what stands behind its last chunk."""


class _Unasked(Exception):
    """A second answer to one request."""


class GatewayConnection(asyncio.Protocol):
    """One TCP connection, or one to a socket file."""

    __slots__ = (
        "_exchange",
        "_forget",
        "_head",
        "_head_size",
        "_parser",
        "_pieces",
        "_poll",
        "_release",
        "_reusable",
        "_transport",
        "_waiting",
        "deadlines",
        "loop",
        "lost",
        "on_body",
        "on_header",
        "paused",
    )

    def __init__(
        self,
        release: Callable[[GatewayConnection], None],
        forget: Callable[[GatewayConnection], None],
        deadlines: Callable[[float], Deadlines],
    ) -> None:
        """`release`: takes the connection back after an exchange. `forget`: it is gone.

        `deadlines`: those of a length in seconds.
        """
        self._release = release
        self._forget = forget
        self.deadlines = deadlines
        self.loop = asyncio.get_running_loop()
        # moving
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        """httptools' callback for each piece of a body: of the many in one read none costs a call of ours."""
        self._head: dict[bytes, bytes] = {}
        self.on_header = self._head.setdefault
        """Likewise for each header, and for each trailer: the first of a name counts."""
        self._parser = httptools.HttpResponseParser(self)
        self._poll: select.poll | None = None
        self._exchange: Exchange | None = None
        self._waiting: list[Exchange] = []
        """Those that are asked, and are answered behind that one: the next of them stands last."""
        self._head_size = 0
        self._reusable = False
        self.paused = False
        self.lost = False

    def start(self, request: bytes, silence_timeout: float | None, limits: Limits) -> Exchange:
        assert self._transport is not None
        self._head_size = 0
        self._exchange = Exchange(self, silence_timeout, limits)
        self._transport.write(request)
        return self._exchange

    def start_in_a_row(
        self, requests: Sequence[bytes], silence_timeout: float | None, limits: Limits
    ) -> list[Exchange]:
        """All are sent at once, and answered one after the other (HTTP's pipelining, RFC 9112, 9.3.2).

        For what may be asked a second time: if the connection goes, nobody knows which of them the gateway has done.
        """
        assert self._transport is not None
        self._head_size = 0
        exchanges = [Exchange(self, silence_timeout, limits) for _ in requests]
        self._exchange, *waiting = exchanges
        self._waiting = waiting[::-1]
        self._transport.write(b"".join(requests))
        return exchanges

    def is_usable(self) -> bool:
        """Not closed, by either side, as far as anybody on this machine has heard.

        Nothing lies unread: all that an idle connection can say is its close. The loop may have that in its hands
        and not yet have told us; a request would be lost, and never repeated.
        """
        transport = self._transport
        if self.lost or transport is None or transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    def close(self) -> None:
        self._exchange = None  # it has been told why, or is over: the close itself says nothing more
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if not self.paused and self._transport is not None and not self.lost:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused and self._transport is not None and not self.lost:
            self.paused = False
            self._transport.resume_reading()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.close()  # nobody asked
            return
        is_sound = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_sound = False
        exchange = self._exchange  # the last one that the read says something of
        pieces = self._pieces
        if pieces:
            self._head_size = 0
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
        else:
            self._head_size += len(data)
            body = b""
        exchange.deliver(body)
        if not is_sound or self._head_size > MAX_HEAD:
            exchange.lose(UpstreamError("The agent gateway did not answer as HTTP demands."))
            self.close()
        elif exchange.complete:
            self._end_exchange()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._forget(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._lose(exchange, exc)
        self._lose_waiting()

    def _lose(self, exchange: Exchange, exc: Exception | None) -> None:
        if exchange.head_complete and exc is None and not exchange.is_delimited:
            exchange.complete = True
            exchange.deliver(b"")
        elif exchange.head_complete:
            exchange.lose(
                UpstreamInterrupted(
                    "The agent gateway closed the connection before the agent was done; the answer is incomplete."
                )
            )
        else:
            exchange.lose(_unanswered())

    def _lose_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for exchange in reversed(waiting):
            exchange.lose(_unanswered())

    def _end_exchange(self) -> None:
        self._exchange = None
        if not self._reusable or self.lost:
            self.close()
            return
        if self.paused:
            self.resume()
        if self._waiting:
            self._begin_next()
        else:
            self._release(self)

    def _begin_next(self) -> None:
        self._exchange = self._waiting.pop()
        self._head_size = 0

    # httptools' callbacks

    def on_message_begin(self) -> None:
        exchange = self._exchange
        if exchange is None:
            raise _Unasked
        if exchange.complete:
            if not self._waiting:
                raise _Unasked
            body = b"".join(self._pieces)
            self._pieces.clear()
            exchange.deliver(body)
            self._begin_next()
        self._head.clear()

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        status = self._parser.get_status_code()
        if status >= 200:  # below that it is only news on the way: the answer is still to come
            exchange.headers = self._head.copy()
            exchange.status = status
            exchange.head_complete = True

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.head_complete:
            exchange.complete = True
            self._reusable = self._parser.should_keep_alive()


def _unanswered() -> UpstreamInterrupted:
    return UpstreamInterrupted("The agent gateway closed the connection without an answer.")
