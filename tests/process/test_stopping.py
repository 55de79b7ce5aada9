"""How real processes end: alone and with several workers, on each signal, with answers under way or without."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import aiohttp
import openai
import pytest

from oaicompat_proxy.server.process.serve import EXIT_INTERRUPTED
from tests.support.conformance import check_error_body, check_stream
from tests.support.processes import Child, port_of, proxy_before
from tests.support.proxy import CHAT, Line, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, run, text
from tests.unit.server.endpoints.test_models import apps

AT_ONCE = 2.5
"""Seconds for what should need none, on a busy machine: much less than it would wait otherwise."""
LONG = "30"

WORKERS = {"alone": [], "with workers": ["--workers", "2"]}


class Start(Protocol):
    def __call__(self, *flags: str) -> AbstractAsyncContextManager[tuple[Child, str]]: ...


@pytest.fixture(params=WORKERS.values(), ids=WORKERS)
def start(request: pytest.FixtureRequest, agent: Agent) -> Start:
    """Starts a proxy in front of the agent, which lists its apps; the arguments are flags."""
    agent.replies("/invoke", apps("default"))
    return lambda *flags: proxy_before(agent.url, *request.param, *flags)


async def end(child: Child) -> int:
    return await asyncio.to_thread(child.status)


@contextlib.asynccontextmanager
async def asking(base: str, **fields: object) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(base + CHAT, data=chat_body(**fields)) as response,
    ):
        yield response


async def dial(base: str) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", port_of(base)))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_with_nothing_to_do_it_ends_at_once(start: Start, signum: signal.Signals) -> None:
    async with start("--drain-timeout", LONG) as (child, _):
        began = time.monotonic()
        child.signal(signum)
        assert await end(child) == 0
        assert time.monotonic() - began < AT_ONCE


async def test_an_answer_that_fits_is_whole(start: Start, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Still "), gate, text("here"), closing())
    async with start("--drain-timeout", LONG) as (child, base), asking(base) as response:
        child.signal(signal.SIGTERM)
        await until_refused(base)
        gate.set()
        assert check_stream(await response.read(), include_usage=False).text == "Still here"
        assert await end(child) == 0
    assert agent.closed_sessions == [agent.runs[0].session]


async def until_refused(base: str) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            line = await dial(base)
            await line.close()
            await asyncio.sleep(0.02)


async def test_a_stream_that_does_not_fit_ends_with_an_error(start: Start, agent: Agent) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    async with start("--drain-timeout", "0.2") as (child, base), asking(base) as response:
        child.signal(signal.SIGTERM)
        answer = check_stream(await response.read(), include_usage=False)
        assert (answer.text, answer.finish_reason) == ("Well", None)
        assert answer.error is not None
        assert answer.error["code"] == "answer_cut"
        assert await end(child) == EXIT_INTERRUPTED
    assert agent.closed_sessions == [agent.runs[0].session]


async def test_a_whole_answer_that_does_not_fit_is_503(start: Start, agent: Agent) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    async with start("--drain-timeout", "0.2") as (child, base):
        line = await dial(base)
        await line.post(chat_body(stream=False))
        await agent.until(lambda: agent.runs)
        child.signal(signal.SIGTERM)
        status, headers = await line.read_head()
        error = check_error_body(await line.read_to_end())
        assert (status, error["code"], headers["x-should-retry"]) == (503, "answer_cut", "false")
        assert headers["connection"] == "close"
        assert await end(child) == EXIT_INTERRUPTED
        await line.close()
    assert agent.closed_sessions == [agent.runs[0].session]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_official_client_gets_an_error_and_does_not_run_it_again(agent: Agent, stream: bool) -> None:
    agent.replies("/invoke", apps("default"))
    agent.plays(OPENING, text("Well"), "stall")
    async with proxy_before(agent.url, "--drain-timeout", "0.2") as (child, base):
        async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="any", max_retries=3) as client:
            asked = asyncio.create_task(ask(client, stream))
            await agent.until(lambda: agent.runs)
            child.signal(signal.SIGTERM)
            with pytest.raises(openai.APIError) as caught:
                await asked
        assert caught.value.code == "answer_cut"
        assert isinstance(caught.value, openai.InternalServerError) is not stream
        assert await end(child) == EXIT_INTERRUPTED
    assert len(agent.runs) == 1


async def ask(client: openai.AsyncOpenAI, stream: bool) -> None:
    answer = await client.chat.completions.create(
        model="default", stream=stream, messages=[{"role": "user", "content": "Hi"}]
    )
    if isinstance(answer, openai.AsyncStream):
        async for _ in answer:
            pass


async def test_a_second_signal_ends_it_at_once(start: Start, agent: Agent) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    async with start("--drain-timeout", LONG) as (child, base), asking(base) as response:
        child.signal(signal.SIGTERM)
        await until_refused(base)
        began = time.monotonic()
        child.signal(signal.SIGINT)
        assert await end(child) == 128 + signal.SIGINT
        assert time.monotonic() - began < AT_ONCE
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    agent.kept_sessions |= {agent.runs[0].session}


async def test_it_stops_listening_while_a_reload_waits_for_old_workers(agent: Agent) -> None:
    """Nobody would answer the connections that the address accepts."""
    gate = asyncio.Event()
    agent.replies("/invoke", apps("default"))
    agent.plays(OPENING, text("Still "), gate, text("here"), closing())
    flags = ("--workers", "2", "--drain-timeout", LONG)
    async with proxy_before(agent.url, *flags) as (child, base), asking(base) as response:
        child.signal(signal.SIGHUP)
        await asyncio.to_thread(child.wait_for, "(?s)(Booting worker.*){4}")
        child.signal(signal.SIGTERM)
        async with asyncio.timeout(AT_ONCE):
            await until_refused(base)
        gate.set()
        assert check_stream(await response.read(), include_usage=False).text == "Still here"
        assert await end(child) == 0
    assert child.output.count("Booting worker") == 4


async def test_it_is_unready_before_it_stops_listening(start: Start, agent: Agent) -> None:
    async with start("--drain-delay", LONG) as (child, base), aiohttp.ClientSession() as client:
        async with client.get(f"{base}/readyz") as response:
            assert response.status == 200
        child.signal(signal.SIGTERM)
        await asyncio.to_thread(child.wait_for, "SIGTERM|Handling signal: term")
        async with asyncio.timeout(1):
            while response.status == 200:
                async with client.get(f"{base}/readyz") as response:
                    pass
        assert (response.status, response.headers["Connection"]) == (503, "close")
        async with client.get(f"{base}/healthz") as response:
            assert response.status == 200
        child.signal(signal.SIGTERM)
        assert await end(child) == 128 + signal.SIGTERM


async def test_a_request_on_a_kept_connection_is_answered_while_it_ends(agent: Agent) -> None:
    """It may have been on its way when the signal came."""
    gate = asyncio.Event()
    agent.replies("/invoke", apps("default"))
    agent.plays(OPENING, text("Hel"), gate, text("lo"), closing())
    async with proxy_before(agent.url, "--drain-timeout", LONG) as (child, base):
        line, other = await dial(base), await dial(base)
        await other.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, headers = await other.read_head()
        await other.read(int(headers["content-length"]))
        await line.post(chat_body())
        _, headers = await line.read_head()
        assert headers["connection"] == "keep-alive"
        child.signal(signal.SIGTERM)
        await until_refused(base)
        gate.set()
        assert check_stream(await line.read_chunks(), include_usage=False).text == "Hello"
        agent.plays(run("Again"))
        for each in (line, other):
            await each.post(chat_body(stream=False))
            status, headers = await each.read_head()
            assert (status, headers["connection"]) == (200, "close")
            assert await each.read_to_end()
            await each.close()
        assert await end(child) == 0
