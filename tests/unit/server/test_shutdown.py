from __future__ import annotations

import asyncio
import json

import pytest

from oaicompat_proxy.core.errors import AnswerCut
from oaicompat_proxy.server.context import SERVER
from oaicompat_proxy.server.shutdown import GracefulShutdown
from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import StartProxy, chat_body
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
