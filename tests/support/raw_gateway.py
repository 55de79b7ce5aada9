"""A gateway on a real socket that a test controls byte by byte, on asyncio's loop or uvloop."""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvloop

from oaicompat_proxy.server.upstream.http_client import HttpClient
from oaicompat_proxy.server.upstream.http_exchange import Limits
from tests.support.scripted_gateway import PATIENCE, wait_until

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

TURNS = 3
"""Iterations of the event loop after which bytes on the loopback have been read at the other end."""


async def turns(count: int = TURNS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Peer(asyncio.Protocol):
    """The gateway's side of one connection."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self.received = bytearray()
        self.writable = True
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def pause_writing(self) -> None:
        self.writable = False
        self._changed.set()

    def resume_writing(self) -> None:
        self.writable = True
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        await wait_until(self._changed, condition)

    async def until_closed(self) -> None:
        await self.until(lambda: self.closed)

    async def request(self) -> bytes:
        """The bytes of the next whole request."""
        await self.until(lambda: b"\r\n\r\n" in self.received)
        head = self.received.index(b"\r\n\r\n") + 4
        fields = bytes(self.received[:head]).lower().split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in fields if line.startswith(b"content-length:")]
        size = head + sum(lengths)
        await self.until(lambda: len(self.received) >= size)
        request = bytes(self.received[:size])
        del self.received[:size]
        return request

    def send(self, data: bytes) -> None:
        """Sends bytes, unless the connection is closed."""
        if not self.closed:
            self.transport.write(data)

    async def send_apart(self, pieces: Iterable[bytes]) -> None:
        """Sends each piece so that the other side reads it alone."""
        for piece in pieces:
            self.send(piece)
            await turns()

    async def pour(self, data: bytes, most: int) -> int:
        """Sends `data` repeatedly while the socket is writable, at most `most` times; returns the number."""
        for sent in range(most):
            if not self.writable:
                return sent
            self.send(data)
            await turns()
        return most

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        linger_not = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self.transport.abort()


class Gateway:
    """A listening gateway. `peers`: its connections, oldest first."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.peers: list[Peer] = []
        self.clients: list[HttpClient] = []
        self.port = 0

    def new_peer(self) -> Peer:
        self.peers.append(Peer(self._changed))
        return self.peers[-1]

    def client(
        self,
        base: str = "http://127.0.0.1:{port}",
        *,
        connect_timeout: float = PATIENCE,
        connect_retries: int = 0,
        silence_timeout: float = PATIENCE,
        headers: dict[str, str] | None = None,
    ) -> HttpClient:
        client = HttpClient(
            base.format(port=self.port),
            headers or {},
            connect_timeout=connect_timeout,
            connect_retries=connect_retries,
            limits=Limits(silence=silence_timeout),
        )
        self.clients.append(client)
        return client

    async def peer(self, number: int = 0) -> Peer:
        """Waits for this connection."""
        await self.until(lambda: len(self.peers) > number)
        return self.peers[number]

    async def until(self, condition: Callable[[], object]) -> None:
        await wait_until(self._changed, condition)

    async def nothing_left(self) -> None:
        """Closes the clients; fails if a connection stays open."""
        for client in self.clients:
            client.close()
        try:
            await self.until(lambda: all(peer.closed for peer in self.peers))
        except TimeoutError:
            pytest.fail(f"connections left: {[n for n, peer in enumerate(self.peers) if not peer.closed]}")


@asynccontextmanager
async def listening() -> AsyncIterator[Gateway]:
    """Yields a gateway; at the end no connection, no task and no unhandled exception may be left."""
    loop = asyncio.get_running_loop()
    unseen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    gateway = Gateway()
    server = await loop.create_server(gateway.new_peer, "127.0.0.1", 0)
    gateway.port = server.sockets[0].getsockname()[1]
    try:
        yield gateway
        await gateway.nothing_left()
    finally:
        server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert not tasks, f"tasks left: {tasks}"
    assert unseen == []


def on_every_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the test on asyncio's loop and on uvloop; its argument `gateway` is a listening Gateway."""

    @functools.wraps(test)
    def run(*, loop: str, **fixtures: Any) -> None:
        async def with_gateway() -> None:
            async with asyncio.timeout(3 * PATIENCE), listening() as gateway:
                await test(gateway=gateway, **fixtures)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(with_gateway())

    names = [name for name in inspect.signature(test).parameters if name != "gateway"]
    kind = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in (*names, "loop")])  # type: ignore[attr-defined]
    del run.__wrapped__
    marked: Callable[..., None] = pytest.mark.parametrize("loop", LOOPS)(run)
    return marked
