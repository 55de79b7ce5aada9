"""How long a client has taken nothing, and what becomes of it then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import pytest

from oaicompat_proxy.server.http.send_progress import SendProgress, StalledClients, drop

SHORT = 0.2


@dataclass
class Pair:
    """A transport with small buffers, and the socket at its other end."""

    transport: asyncio.WriteTransport
    other: socket.socket

    def read(self, size: int) -> int:
        return len(self.other.recv(size))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, other = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    other.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield Pair(transport, other)
    transport.abort()
    other.close()


async def some_time() -> None:
    await asyncio.sleep(0.02)


async def test_nothing_that_waits_is_no_stall(pair: Pair) -> None:
    progress = SendProgress(pair.transport, asyncio.get_running_loop())
    for _ in range(3):
        assert progress.stalled_for() == 0
        await some_time()


async def test_what_waits_and_is_not_taken_stalls(pair: Pair) -> None:
    progress = SendProgress(pair.transport, asyncio.get_running_loop())
    pair.transport.write(b"x" * 1_000_000)
    began = progress.stalled_for()
    await some_time()
    assert 0.02 <= progress.stalled_for() - began < 5
    pair.transport.write(b"x" * 1000)  # more of it is no progress
    assert progress.stalled_for() >= 0.02


async def test_a_client_that_takes_some_of_it_does_not(pair: Pair) -> None:
    progress = SendProgress(pair.transport, asyncio.get_running_loop())
    pair.transport.write(b"x" * 1_000_000)
    for _ in range(5):
        assert progress.stalled_for() < 0.02
        await some_time()
        assert pair.read(1_000_000)
        await some_time()  # the loop sends more


async def test_a_restart_is_progress(pair: Pair) -> None:
    progress = SendProgress(pair.transport, asyncio.get_running_loop())
    pair.transport.write(b"x" * 1_000_000)
    progress.stalled_for()
    await some_time()
    progress.restart()
    pair.transport.write(b"x" * 1_000_000)
    assert progress.stalled_for() < 0.02


class Connection:
    """One that is watched."""

    def __init__(self, pair: Pair) -> None:
        self._progress = SendProgress(pair.transport, asyncio.get_running_loop())
        self.aborted = asyncio.Event()

    def stalled_for(self) -> float:
        return self._progress.stalled_for()

    def abort(self) -> None:
        self._progress.abort()
        self.aborted.set()


async def test_who_stalls_is_dropped_within_the_limit_also_behind_a_close(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    connection = Connection(pair)
    clients = StalledClients(lambda: [connection])
    pair.transport.write(b"x" * 1_000_000)
    pair.transport.close()
    began = loop.time()
    clients.watch(SHORT)
    async with asyncio.timeout(20):
        await connection.aborted.wait()
    assert loop.time() - began > SHORT * 0.7
    clients.stop()


async def test_another_limit_counts_from_then_on(pair: Pair) -> None:
    connection = Connection(pair)
    clients = StalledClients(lambda: [connection])
    pair.transport.write(b"x" * 1_000_000)
    clients.watch(1000)
    clients.watch(SHORT)
    async with asyncio.timeout(20):
        await connection.aborted.wait()
    clients.stop()


async def test_a_drop_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    drop(cast(asyncio.WriteTransport, transport))
    await some_time()
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
    drop(None)
