"""The lean client for runs.

A small HTTP/1.1 client with one interface: kept connections, chunked, counted or close-delimited bodies, limits,
and every fault as one of our errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..deadlines import Deadlines
from .connect import Door, dial
from .http_connection import GatewayConnection
from .http_exchange import NO_LIMITS, Exchange, Limits

GATEWAY_KEEP_ALIVE = 4.0
"""Seconds for which an idle connection is kept: a Node gateway closes it after 5, and a call that crosses that
close on the wire would be lost without being safe to repeat."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")


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
        self._idle: dict[GatewayConnection, float] = {}
        """Since when each of them is, by the loop's time: the longest first."""
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self._by_length: dict[float, Deadlines] = {}

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

    def ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS, limits: Limits = NO_LIMITS
    ) -> Exchange | None:
        """The exchange, asked at once on a kept connection; None if there is none."""
        connection = self._reuse()
        if connection is None:
            return None
        return connection.start(self._build(method, path, body, headers), self._silence_timeout, limits)

    def ask_in_a_row(
        self, posts: Sequence[tuple[str, bytes]], headers: Mapping[str, str], limits: Limits
    ) -> list[Exchange]:
        """An exchange for each path and body, asked at once on one kept connection; none if there is no connection."""
        connection = self._reuse()
        if connection is None:
            return []
        requests = [self._build("POST", path, body, headers) for path, body in posts]
        return connection.start_in_a_row(requests, self._silence_timeout, limits)

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
        return connection.start(self._build(method, path, body, headers), silence_timeout, limits)

    def _build(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
        target = f"{self._path}{path}" if path else self._own_path
        line = f"{method} {target}".encode("latin-1")
        own = _lines(headers) if headers else b""
        return b"%b HTTP/1.1\r\n%b%b%b\r\n%b" % (line, self._fixed, own, length, body)

    def close(self) -> None:
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._idle):
            connection.close()

    def _reuse(self) -> GatewayConnection | None:
        """The connection that was used last, so that those of a busy hour run out afterwards."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    def _keep(self, connection: GatewayConnection) -> None:
        if self._closed:
            connection.close()
            return
        self._idle[connection] = connection.loop.time()
        if self._sweep is None:
            self._sweep = connection.loop.call_later(GATEWAY_KEEP_ALIVE, self._close_idle)

    def _close_idle(self) -> None:
        """One timer for all: it looks again when the next may have been idle for too long."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        for connection, since in list(self._idle.items()):
            left = since + GATEWAY_KEEP_ALIVE - loop.time()
            if left > 0:
                self._sweep = loop.call_later(left, self._close_idle)
                return
            connection.close()

    def _deadlines(self, length: float) -> Deadlines:
        """Those of a length in seconds: there are few."""
        found = self._by_length.get(length)
        if found is None:
            found = self._by_length[length] = Deadlines(length)
        return found

    def _forget(self, connection: GatewayConnection) -> None:
        self._idle.pop(connection, None)

    async def _connect(self, retries: int) -> GatewayConnection:
        self.reconnects -= 1

        async def attempt() -> GatewayConnection:
            self.reconnects += 1
            return await self._door.open(lambda: GatewayConnection(self._keep, self._forget, self._deadlines))

        return await dial(attempt, within=self._connect_timeout, retries=retries)
