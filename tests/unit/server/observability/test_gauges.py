"""Gauges, and counters whose counts other objects keep, as a scrape shows them."""

from __future__ import annotations

import asyncio
import json

import pytest

from oaicompat_proxy.server.upstream import session_closer as closing
from tests.support.prometheus_text import Exposition, scrape
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, run, text, tool_call


async def until(front: Proxy, sample: str, value: float, **labels: str) -> Exposition:
    async with asyncio.timeout(5):
        while True:
            metrics = await scrape(front)
            if metrics.total(sample, **labels) == value:
                return metrics


@pytest.mark.usefixtures("no_close_pauses")
async def test_sessions_that_cannot_be_closed(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    agent.replies("/close", answer({}, 500))
    front = await proxy()
    await front.chat()
    metrics = await until(front, "oaicompat_sessions_close_failures_total", 1)
    assert metrics.total("oaicompat_retries_total", what="close") == closing.ATTEMPTS - 1
    agent.kept_sessions.update(each.session for each in agent.runs)
    await until(front, "oaicompat_sessions_closing", 0)


async def test_sessions_that_are_closed(proxy: StartProxy, agent: Agent) -> None:
    holds = asyncio.Event()
    agent.plays(run("Hello"))
    agent.replies("/close", Reply([holds, b"{}"], 200, "application/json"))
    front = await proxy()
    await front.chat()
    await until(front, "oaicompat_sessions_closing", 1)
    holds.set()
    await until(front, "oaicompat_sessions_closing", 0)


async def test_sessions_that_are_finalized_and_locked(proxy: StartProxy, agent: Agent) -> None:
    """A named session's run goes on without its reader, and is no cancelled one."""
    ends = asyncio.Event()
    agent.plays([*OPENING, text("Hel")], ends, run("lo")[3:])
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(), headers=["X-Session-Id: mine"])
    await line.read_until(b"Hel")
    assert (await scrape(front)).total("oaicompat_sessions_finalizing") == 0
    line.reset()
    metrics = await until(front, "oaicompat_sessions_finalizing", 1)
    assert metrics.total("oaicompat_sessions_locked") == 1
    agent.kept_sessions.update(each.session for each in agent.runs)
    ends.set()
    metrics = await until(front, "oaicompat_sessions_finalizing", 0)
    assert metrics.total("oaicompat_sessions_locked") == 0
    assert metrics.total("oaicompat_runs_cancelled_total") == 0
    assert metrics.total("oaicompat_client_disconnects_total") == 1


async def test_sessions_that_can_be_recognised(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(sessions="recognise")
    assert (await scrape(front)).total("oaicompat_sessions_recognisable") == 0
    await front.chat("one")
    await front.chat("two")
    await until(front, "oaicompat_sessions_recognisable", 2)
    agent.kept_sessions.update(each.session for each in agent.runs)


async def test_a_run_that_calls_the_clients_tool_is_stopped(proxy: StartProxy, agent: Agent) -> None:
    """The answer is complete, and no client gets the agent's next events."""
    agent.plays([*OPENING, *tool_call("c1", "weather", "{}")], "stall")
    front = await proxy()
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    body = json.loads(chat_body())
    await front.post(json.dumps({**body, "tools": tools}).encode())
    metrics = await until(front, "oaicompat_runs_cancelled_total", 1)
    assert metrics.total("oaicompat_runs_total", outcome="success", finish_reason="tool_calls") == 1


async def test_a_gateway_that_is_away_is_connected_to_again(proxy: StartProxy) -> None:
    front = await proxy(upstream="http://127.0.0.1:9", connect_retries=2)
    await front.chat()
    assert (await scrape(front)).total("oaicompat_retries_total", what="connect") == 2
