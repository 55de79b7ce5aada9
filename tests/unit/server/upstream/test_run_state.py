"""The states of a run, as a gateway on a socket moves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import ProxyError, UpstreamUnreachable
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.run import Run
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, closing, text


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Run]:
    upstream = Upstream(Config(upstream=url, connect_retries=0), url)
    run = upstream.run(upstream.dialect.build_run(Turn((Text("Hi"),)), app="", key="s1", run_id="r1"))
    try:
        assert run.state == "not_sent"
        yield run
    finally:
        run.abort()
        upstream.close()


async def test_a_run_is_accepted_and_finishes(agent: Agent) -> None:
    goes_on = asyncio.Event()
    agent.replies("/send", Reply([*OPENING, text("Hello"), goes_on, *closing()]))
    async with running(agent.url) as run:
        await run.open()
        assert run.state == "accepted"
        await anext(aiter(run))
        assert (run.state, run.fully_read) == ("accepted", False)
        goes_on.set()
        await run.drain()
        assert run.state == "finished"
        await run.finish()
        assert run.fully_read


async def test_a_call_without_an_answer_is_sent(agent: Agent) -> None:
    agent.replies("/send", Reply(["stall"], framing="raw"))
    async with running(agent.url) as run:
        opening = asyncio.create_task(run.open())
        await agent.until(lambda: agent.exchanges)
        opening.cancel()
        await asyncio.wait([opening])
        assert run.state == "sent"


@pytest.mark.parametrize("reply", [answer({"error": "no"}, 500), answer({"error": "no"}, 404), answer({}, 200)])
async def test_another_answer_than_a_stream_rejects_the_run(agent: Agent, reply: Reply) -> None:
    agent.replies("/send", reply)
    async with running(agent.url) as run:
        with pytest.raises(ProxyError):
            await run.open()
        assert run.state == "rejected"


async def test_without_a_connection_nothing_is_sent(unused_tcp_port: int) -> None:
    async with running(f"http://127.0.0.1:{unused_tcp_port}") as run:
        with pytest.raises(UpstreamUnreachable):
            await run.open()
        assert run.state == "not_sent"


async def test_a_stream_that_breaks_does_not_finish_the_run(agent: Agent) -> None:
    agent.replies("/send", Reply([*OPENING, text("Hel"), "cut"]))
    async with running(agent.url) as run:
        with pytest.raises(ProxyError):
            await run.drain()
        assert (run.state, run.fully_read) == ("accepted", False)
