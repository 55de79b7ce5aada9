"""The lean client for runs: connections to the gateway, parsed by httptools.

A small HTTP/1.1 client with one interface: kept connections, chunked, counted or close-delimited bodies, limits,
and every fault as one of our errors.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import httptools

from ..errors import UpstreamError, UpstreamInterrupted
from .dialling import Door, dial
from .exchange import NO_LIMITS, Exchange, Limits

GATEWAY_KEEP_ALIVE = 4.0
"""Seconds for which an idle connection is kept: a Node gateway closes it after 5, and a call that crosses that
close on the wire would be lost without being safe to repeat."""

UNREAD = 128 * 1024
"""Bytes that the system holds while nobody reads. By itself it would hold megabytes of a run whose client is slow."""

MAX_HEAD = 64 * 1024
"""Bytes in a row that are no body: an answer's status line and headers, or what stands behind its last chunk."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class _Unasked(Exception):
    """A second answer to one request."""


class _Connection(asyncio.Protocol):
    """One TCP connection, one exchange at a time."""

    def __init__(self, release: Callable[[_Connection], None], forget: Callable[[_Connection], None]) -> None:
        """`release`: takes the connection back after an exchange. `forget`: it is gone."""
        self._release = release
        self._forget = forget
        # moving
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        """httptools' callback for each piece of a body: of the many in one read none costs a call of ours."""
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
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

    @property
    def usable(self) -> bool:
        """Not closed, by either side, as far as anybody on this machine has heard."""
        return self._transport is not None and not self._transport.is_closing() and not self._stirs()

    def _stirs(self) -> bool:
        """Whether something lies unread: all that an idle connection can say is its close.

        The loop may have it in its hands and not yet have told us; a request would be lost, and never repeated.
        """
        assert self._transport is not None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

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
        exchange = self._exchange
        if exchange is None:
            self.close()  # nobody asked
            return
        is_sound = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_sound = False
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._head_size = 0 if body else self._head_size + len(data)
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
        if exchange is None:
            return
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
            exchange.lose(UpstreamInterrupted("The agent gateway closed the connection without an answer."))

    def _end_exchange(self) -> None:
        self._exchange = None
        if self._reusable and not self.lost:
            self.resume()
            self._release(self)
        else:
            self.close()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            raise _Unasked

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._exchange is not None and not self._exchange.head_complete:
            self._exchange.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self._exchange is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._exchange.headers.clear()  # only news on the way: the answer is still to come
            return
        self._exchange.status = status
        headers = self._exchange.headers
        self._exchange.is_delimited = "transfer-encoding" in headers or "content-length" in headers
        self._exchange.head_complete = True

    def on_message_complete(self) -> None:
        if self._exchange is not None and self._exchange.head_complete:
            self._exchange.complete = True
            self._reusable = self._parser.should_keep_alive()


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


class StreamClient:
    """Connections to one gateway."""

    def __init__(
        self,
        base: str,
        headers: dict[str, str],
        *,
        connect_timeout: float,
        connect_retries: int,
        silence_timeout: float,
    ) -> None:
        """`base`: the gateway's address, http or https, with a path if it has one; or unix:FILE. Times in seconds."""
        self._door = Door(base)
        url = self._door.url
        self._own_path = url.raw_path
        self._path = url.raw_path.rstrip("/")
        fixed = {"Host": url.host_port_subcomponent or "", **headers}
        self._fixed = _lines(fixed)
        self._connect_timeout = connect_timeout
        self._connect_retries = connect_retries
        self._silence_timeout = silence_timeout
        # moving
        self.reconnects = 0
        self._idle: dict[_Connection, asyncio.TimerHandle] = {}
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        silence_timeout: float | None = -1,
        limits: Limits = NO_LIMITS,
    ) -> Exchange:
        """The exchange, once its status and headers are there. Raises UpstreamError and its kin.

        `headers`: of this request, beside the client's own. Characters of a value stand for bytes.
        `silence_timeout`: seconds, where it is not the client's own; None for no limit.
        """
        silence = self._silence_timeout if silence_timeout == -1 else silence_timeout
        exchange = await self._ask(method, path, body, headers, silence, limits, retries=0)
        try:
            await exchange.head()
        except BaseException:
            exchange.cut()
            raise
        return exchange

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        limits: Limits = NO_LIMITS,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Exchange:
        """The exchange, once it is asked. Raises UpstreamUnreachable or UpstreamConnectTimeout: then it is not.

        A run is worth waiting for a gateway that is away for a moment: it is connected to again and again.
        """
        silence = self._silence_timeout
        return await self._ask(method, path, body, headers, silence, limits, retries=self._connect_retries)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        silence_timeout: float | None,
        limits: Limits,
        *,
        retries: int,
    ) -> Exchange:
        connection = self._reuse() or await self._connect(retries)
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        target = f"{self._path}{path}" if path else self._own_path
        head = f"{method} {target} HTTP/1.1\r\n{self._fixed}{_lines(headers)}{length}\r\n"
        return connection.start(head.encode("latin-1") + body, silence_timeout, limits)

    def close(self) -> None:
        self._closed = True
        for connection in list(self._idle):
            connection.close()

    def _reuse(self) -> _Connection | None:
        """The connection that was used last, so that those of a busy hour run out afterwards."""
        while self._idle:
            connection, expiry = self._idle.popitem()
            expiry.cancel()
            if connection.usable:
                return connection
            connection.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        if self._closed:
            connection.close()
        else:
            expiry = asyncio.get_running_loop().call_later(GATEWAY_KEEP_ALIVE, connection.close)
            self._idle[connection] = expiry

    def _forget(self, connection: _Connection) -> None:
        expiry = self._idle.pop(connection, None)
        if expiry is not None:
            expiry.cancel()

    async def _connect(self, retries: int) -> _Connection:
        self.reconnects -= 1

        async def attempt() -> _Connection:
            self.reconnects += 1
            return await self._door.open(lambda: _Connection(self._keep, self._forget))

        return await dial(attempt, within=self._connect_timeout, retries=retries)
