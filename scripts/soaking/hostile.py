"""Hostile clients beside the others: they read nothing, have no key, or send half a request. They must cost little."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.support.proxy import CHAT

from .callers import Tally

SEND = 65536
"""Bytes of requests that are sent at once."""
LONGEST_STAY = 6.0
"""Seconds for which a hostile client stays connected; longer than each time limit of the process."""

REQUEST = f"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\nPOST {CHAT} HTTP/1.1\r\nHost: localhost\r\n".encode()
REFUSED = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}".encode()


async def read_nothing(port: int, chance: random.Random) -> None:
    """Sends requests without reading any answer."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        while True:
            await loop.sock_sendall(sock, REFUSED * (SEND // len(REFUSED)))


async def flood(port: int, chance: random.Random) -> None:
    """A hundred requests without a key, each of which is answered 401."""
    async with _connection(port) as (reader, writer):
        for _ in range(100):
            writer.write(REFUSED)
            await reader.readuntil(b"\r\n\r\n")


async def send_half(port: int, chance: random.Random) -> None:
    """Sends a part of a request, then nothing until the proxy disconnects."""
    async with _connection(port) as (reader, writer):
        writer.write(REQUEST[: chance.randrange(1, len(REQUEST))])
        while await reader.read(SEND):
            pass


@contextlib.asynccontextmanager
async def _connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


KINDS: dict[str, Callable[[int, random.Random], Awaitable[None]]] = {
    "hostile: reads nothing": read_nothing,
    "hostile: flood of 401": flood,
    "hostile: half a request": send_half,
}


async def work(kind: str, port: int, tally: Tally, seed: int, stopping: asyncio.Event) -> None:
    """One client of this kind after another."""
    chance = random.Random(f"{seed} {kind}")
    while not stopping.is_set():
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(LONGEST_STAY):
                await KINDS[kind](port, chance)
        tally.done[kind] += 1
        await asyncio.sleep(chance.uniform(0, 0.2))
