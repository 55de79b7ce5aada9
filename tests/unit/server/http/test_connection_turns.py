"""Requests that arrive in one turn of the event loop begin in several turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.event_loop.turn_budget import (
    FASTEST,
    LONGEST_TURN,
    QUANTUM,
    STEP_BYTES,
    STEP_TIME,
    turn_budget,
)
from oaicompat_proxy.server.http.connection import Server
from tests.support.raw_gateway import LOOPS

REQUEST = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLIENTS = 200
PATIENCE = 10


class Turns:
    """Counts the turns of the running loop, and notes the turn in which each request begins."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self._number = 0
        self._count()

    def _count(self) -> None:
        self._number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._count)

    def stop(self) -> None:
        self._handle.cancel()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.begun.append((request.path, self._number))
        return web.Response(text=request.path)


@asynccontextmanager
async def serving(turns: Turns) -> AsyncIterator[int]:
    server = Server(web.Server(turns.answer), Config(demo=True), 1000)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(1)
        turns.stop()


@pytest.mark.parametrize("loop", LOOPS)
def test_requests_of_one_turn_begin_in_several(loop: str) -> None:
    async def run() -> None:
        turns = Turns()
        async with serving(turns) as port:
            streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
            for number in range(2):  # a connection reads on after it has waited
                for _, writer in streams:
                    writer.write(REQUEST % number)
                for reader, _ in streams:
                    answer = await reader.readuntil(b"\r\n\r\n")
                    assert answer.startswith(b"HTTP/1.1 200 OK")
                    assert await reader.readexactly(2) == b"/%d" % number
            for _, writer in streams:
                writer.close()
        assert Counter(path for path, _ in turns.begun) == {"/0": CLIENTS, "/1": CLIENTS}
        most = LONGEST_TURN / (STEP_TIME * FASTEST) + 2 * QUANTUM / STEP_BYTES
        assert most < CLIENTS / 2
        assert max(Counter(turn for _, turn in turns.begun).values()) <= most

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(run(), PATIENCE))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_leaves_while_its_request_waits_disturbs_nobody(loop: str) -> None:
    async def run() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        turns = Turns()
        async with serving(turns) as port:
            (reader, writer), (_, gone) = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            budget = turn_budget()
            while budget.left > 0 or budget.extend():
                budget.left = 0
            gone.write(REQUEST % 0)
            gone.transport.abort()
            writer.write(REQUEST % 1)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"/1"
            writer.close()
        assert failures == []

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(run(), PATIENCE))


@pytest.mark.parametrize("loop", LOOPS)
def test_the_rest_of_a_request_waits_behind_its_beginning(loop: str) -> None:
    async def run() -> None:
        turns = Turns()
        async with serving(turns) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST % 0)
            assert await reader.readuntil(b"/0")  # the connection is accepted
            budget, waits = turn_budget(), True

            def spend_all() -> None:
                while budget.left > 0 or budget.extend():
                    budget.left = 0
                if waits:
                    budget.defer(spend_all)
                    asyncio.get_running_loop().call_soon(budget.allow)  # after the next turn has begun

            spend_all()
            request = REQUEST % 1
            for half in (request[:20], request[20:]):
                writer.write(half)
                for _ in range(10):
                    await asyncio.sleep(0)
            waits = False
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK")
            writer.close()
        assert [path for path, _ in turns.begun] == ["/0", "/1"]

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(run(), PATIENCE))
