from __future__ import annotations

import asyncio
import functools
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import AnswerCut
from oaicompat_proxy.server.context import SERVER
from oaicompat_proxy.server.event_loop.turn_budget import turn_budget
from oaicompat_proxy.server.http.connection import Connection, Server
from oaicompat_proxy.server.shutdown import IDLE_BEFORE_CLOSE, GracefulShutdown
from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import StartProxy, chat_body
from tests.support.raw_gateway import LOOPS
from tests.support.scripted_gateway import OPENING, Agent, closing, text


async def test_an_interrupt_is_raised_where_one_waits() -> None:
    process = GracefulShutdown()

    async def wait() -> None:
        with process.during_run:
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    process.interrupt()
    with pytest.raises(AnswerCut):
        await waiting


async def test_of_nested_ones_the_innermost_counts() -> None:
    process = GracefulShutdown()

    async def wait() -> str:
        with process.before_run:
            try:
                with process.during_run:
                    await asyncio.Event().wait()
            except AnswerCut:
                await asyncio.sleep(0)
                return "last words"
        return ""

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    process.interrupt()
    assert await waiting == "last words"


async def test_behind_the_innermost_nothing_is_interrupted_any_more() -> None:
    process = GracefulShutdown()
    with process.before_run:
        with process.during_run:
            pass
        process.interrupt()
        await asyncio.sleep(0)


async def test_after_an_interrupt_nothing_new_begins() -> None:
    process = GracefulShutdown()
    process.interrupt()
    with pytest.raises(AnswerCut), process.during_run:
        pytest.fail("it began")


async def test_another_timeout_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError), GracefulShutdown().during_run:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_a_client_that_leaves_is_no_interrupt() -> None:
    async def wait() -> None:
        with GracefulShutdown().during_run:
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_waits_for_a_session_gets_an_error_to_retry_elsewhere(proxy: StartProxy, agent: Agent) -> None:
    """Nothing was run for the second request, so its client may retry; the first one's client must not."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Well"), gate, closing())
    front = await proxy(session_wait=30)
    first, second = await front.dial(), await front.dial()
    await first.post(chat_body(), headers=["X-Session-Id: one"])
    await first.read_head()
    await second.post(chat_body(), headers=["X-Session-Id: one"])
    await asyncio.sleep(0.05)
    front.app[SERVER].shutdown.interrupt()
    status, headers = await second.read_head()
    error = check_error_body(await second.read(int(headers["content-length"])))
    assert (status, error["code"], headers["x-should-retry"]) == (503, "server_stopping", "true")
    answer = check_stream(await first.read_chunks(), include_usage=False)
    assert answer.error is not None
    assert answer.error["code"] == "answer_cut"
    assert len(agent.runs) == 1
    agent.kept_sessions |= {agent.runs[0].session}
    gate.set()


async def test_a_shutdown_keeps_no_connection_from_its_beginning(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Well"), closing())
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body())
    await agent.until(lambda: agent.runs)
    front.app[SERVER].shutdown.begin()
    gate.set()
    _, headers = await line.read_head()
    assert headers["connection"] == "close"
    assert check_stream(await line.read_chunks(), include_usage=False).text == "Well"
    assert await line.read_to_end() == b""
    received = await front.get("/readyz")
    assert (received.status, received.headers["Connection"]) == (503, "close")
    assert "stopping" in json.loads(received.body)["reason"]
    assert (await front.get("/healthz")).status == 200


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def idle_connection() -> AsyncIterator[tuple[Server, socket.socket]]:
    """A server, and the client's end of its only connection, on which one request was answered."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="answered")

    loop = asyncio.get_running_loop()
    server = Server(web.Server(answer), Config(demo=True), 1000)
    listener = await loop.create_server(server, "127.0.0.1", 0)
    with socket.create_connection(listener.sockets[0].getsockname()) as client:
        client.sendall(REQUEST)
        client.setblocking(False)
        assert (await loop.sock_recv(client, 4096)).endswith(b"answered")
        try:
            yield server, client
        finally:
            listener.close()
            await server.shutdown(1)


async def drain_after(server: Server, *arrivals: Callable[[], None]) -> None:
    """Drains. Each arrival comes before a look at the connections, and the process stands still after it."""
    coming = iter(arrivals)

    def connections() -> list[Connection]:
        for arrive in itertools.islice(coming, 1):
            arrive()
            time.sleep(IDLE_BEFORE_CLOSE + 0.1)
        return server.clients()

    await GracefulShutdown().drain(connections, within=20)


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_request_that_arrived_while_the_process_stood_still(loop: str) -> None:
    async def run() -> bytes:
        async with idle_connection() as (server, client):
            await drain_after(server, lambda: client.sendall(REQUEST))
            return await asyncio.get_running_loop().sock_recv(client, 4096)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(run()).endswith(b"answered")


@pytest.mark.slow
async def test_a_request_that_waits_for_the_budget_of_another_turn() -> None:
    async with idle_connection() as (server, client):
        budget = turn_budget()

        def arrive() -> None:
            budget.left = 0
            (connection,) = server.clients()
            while budget.left <= 0 and budget.extend():
                time.sleep(0.01)  # the turn's time is spent
                budget.left = 0
            connection.data_received(REQUEST)

        await drain_after(server, arrive)
        assert (await asyncio.get_running_loop().sock_recv(client, 4096)).endswith(b"answered")


@pytest.mark.slow
async def test_a_request_whose_head_arrives_slowly() -> None:
    async with idle_connection() as (server, client):
        parts = (REQUEST[:10], REQUEST[10:20], REQUEST[20:])
        await drain_after(server, *(functools.partial(client.sendall, part) for part in parts))
        assert (await asyncio.get_running_loop().sock_recv(client, 4096)).endswith(b"answered")
