from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from oaicompat_proxy.server.process.sockets import ListenError
from tests.support.conformance import check_stream
from tests.support.proxy import CHAT, SETTINGS, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, run, text

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def serve(agent: Agent, **settings: Any) -> AsyncIterator[int]:
    config = Config(**{"upstream": agent.url, **SETTINGS, **settings})
    async with listening(create_app(config), config) as port:
        yield port


async def ask(port: int, host: str = "127.0.0.1") -> bytes:
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{host}:{port}{CHAT}", data=chat_body()) as response,
    ):
        return await response.read()


async def test_leaving_waits_for_the_answers_that_are_under_way(agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Still "), gate, text("here"), closing())
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(agent, drain_timeout=10))
        answer = asyncio.create_task(ask(port))
        await agent.until(lambda: agent.runs)
        leaving = asyncio.create_task(stack.aclose())
        await until_refused(port)
        gate.set()
        assert check_stream(await answer, include_usage=False).text == "Still here"
        await leaving


async def until_refused(port: int) -> None:
    """Sends requests, each on a connection of its own, until the port is closed."""
    with contextlib.suppress(aiohttp.ClientConnectorError):
        while True:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/healthz"):
                pass


async def test_leaving_does_not_wait_for_ever(agent: Agent) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(agent, drain_timeout=0.1))
        answer = asyncio.create_task(ask(port))
        await agent.until(lambda: agent.runs)
        async with asyncio.timeout(5):
            await stack.aclose()
        raw = await answer
        await agent.until(lambda: agent.runs[0].outcome == "left")
    assert check_stream(raw, include_usage=False).error["code"] == "answer_cut"


async def test_leaving_closes_the_sessions_that_are_still_open(agent: Agent) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(agent, drain_timeout=0.1))
        answer = asyncio.create_task(ask(port))
        await agent.until(lambda: agent.runs)
        await stack.aclose()
        await answer
    assert agent.closed_sessions == [agent.runs[0].session]


async def test_idle_connections_do_not_hold_up_the_end(agent: Agent) -> None:
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(agent, drain_timeout=30))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            await stack.aclose()
        writer.close()
        await writer.wait_closed()


async def test_a_taken_port_is_said_in_one_line(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^port {port} .* --port$"):
            await serve(agent, port=port).__aenter__()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_said_in_one_line(agent: Agent, host: str) -> None:
    with pytest.raises(ListenError, match=rf"^cannot listen on {host}: .+$"):
        await serve(agent, host=host, no_auth=True).__aenter__()


async def test_it_listens_on_an_address_of_the_newer_kind(agent: Agent) -> None:
    agent.plays(run("Hello"))
    async with serve(agent, host="::1") as port:
        assert check_stream(await ask(port, "[::1]"), include_usage=False).text == "Hello"


async def test_two_ports_may_be_any_free_ones(agent: Agent) -> None:
    async with serve(agent) as first, serve(agent) as second:
        assert first != second
