"""A small HTTP/1.1 client for runs: one request method, kept connections, time limits, and UpstreamErrors only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from .connect import Endpoint, connect_with_retries
from .http_connection import HttpConnection
from .http_exchange import Exchange, Limits

KEEP_ALIVE = 4.0
"""Seconds for which an idle connection is kept. A Node gateway closes it after 5, and a run that crosses this close on
the wire would be lost and could not be repeated."""

MAX_HEADS = 8
"""Request heads that are cached: runs, closes and calls of one gateway have a path each."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")


class HttpClient:
    """Connections to one gateway."""

    def __init__(
        self, base: str, headers: dict[str, str], *, connect_timeout: float, connect_retries: int, limits: Limits
    ) -> None:
        """`base`: the gateway's address, http or https, with a path if it has one; or unix:FILE. Times in seconds.
        `limits`: of requests that have no others.
        """
        self._endpoint = Endpoint(base)
        url = self._endpoint.url
        self._base_path = url.raw_path
        self._prefix = url.raw_path.rstrip("/")
        self._headers = _encode_headers({"Host": url.host_port_subcomponent or "", **headers})
        self._connect_timeout = connect_timeout
        self._connect_retries = connect_retries
        self._limits = limits
        self._head = lru_cache(MAX_HEADS)(self._encode_head)
        # state
        self.reconnects = 0
        """Number of connect retries."""
        self._idle: dict[HttpConnection, float] = {}
        """The loop's time since which each connection is idle, the longest first."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        limits: Limits | None = None,
        retry: bool = False,
        wait: bool = True,
    ) -> Exchange:
        """Sends a request on a kept connection or a new one. Raises UpstreamError or a subclass.

        `headers`: of this request, in addition to the client's own; values are Latin-1. `retry`: a failed connect is
        retried, as for runs while a gateway restarts. `wait`: waits for status and headers.
        Without it, only UpstreamUnreachable and UpstreamConnectTimeout are raised, and then nothing was sent.
        """
        connection = self._take_idle() or await self._connect(self._connect_retries if retry else 0)
        exchange = connection.start(self._build(method, path, body, headers), limits or self._limits)
        if wait:
            try:
                await exchange.head()
            except BaseException:
                exchange.abort()
                raise
        return exchange

    def post_on_idle(self, path: str, body: bytes, *, headers: Mapping[str, str], limits: Limits) -> Exchange | None:
        """Sends a POST on a kept connection, without waiting; None, and nothing is sent, if none is idle."""
        connection = self._take_idle()
        return connection.start(self._build("POST", path, body, headers), limits) if connection else None

    def close(self) -> None:
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for connection in list(self._idle):
            connection.close()

    def _build(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        own = _encode_headers(headers) if headers else b""
        if method != "POST":
            return b"%b%b\r\n" % (self._head(method, path), own)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head(method, path), own, len(body), body)

    def _encode_head(self, method: str, path: str) -> bytes:
        """The request line, and the headers of all requests. The cache saves 3.3 of 5.1 µs for building a request."""
        target = f"{self._prefix}{path}" if path else self._base_path
        return f"{method} {target} HTTP/1.1\r\n".encode("latin-1") + self._headers

    @property
    def kept(self) -> list[HttpConnection]:
        """The connections that wait for a request."""
        return list(self._idle)

    def _take_idle(self) -> HttpConnection | None:
        """The most recently used idle connection, so that surplus connections expire."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connect(self, retries: int) -> HttpConnection:
        self.reconnects -= 1

        async def attempt() -> HttpConnection:
            self.reconnects += 1
            return await self._endpoint.connect(lambda: HttpConnection(self._keep, self._forget))

        return await connect_with_retries(attempt, within=self._connect_timeout, retries=retries)

    def _keep(self, connection: HttpConnection) -> None:
        if self._closed:
            connection.close()
            return
        self._idle[connection] = connection.loop.time()
        if self._idle_timer is None:
            self._idle_timer = connection.loop.call_later(KEEP_ALIVE, self._close_expired)

    def _forget(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)

    def _close_expired(self) -> None:
        """Closes expired connections, and sets the single timer for the next one to expire."""
        loop = asyncio.get_running_loop()
        self._idle_timer = None
        for connection, since in list(self._idle.items()):
            left = since + KEEP_ALIVE - loop.time()
            if left > 0:
                self._idle_timer = loop.call_later(left, self._close_expired)
                return
            connection.close()
