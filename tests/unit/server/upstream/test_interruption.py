"""Interrupting a run whose session goes on: on gateways that can, and on those that only confirm it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.demo.script import Say, Script, Tick
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.upstream import interruption
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.interruption import Interruption, interrupt_run
from oaicompat_proxy.server.upstream.run import Run
from tests.support.proxy import StartProxy, chat_body
from tests.support.proxy_harness import StartFront
from tests.support.scripted_gateway import OPENING, Agent, Exchange, Reply, Steps, answer, closing, failure, frame, text

pytest_plugins = ["tests.support.proxy_fixtures"]

ABORTED = [frame("execution_end", executionId="e1", aborted=True, output=None), failure("Execution aborted")]


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[tuple[Upstream, Run]]:
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    run = upstream.run(upstream.dialect.build_run(Turn((Text("Hi"),)), app="", key="s1", run_id="r1"))
    agent.kept_sessions.add("s1")
    try:
        yield upstream, run
    finally:
        run.abort()
        upstream.close()


def interrupts(agent: Agent, *end: bytes) -> None:
    """The run goes on until it is aborted, and then ends like this."""
    aborted = asyncio.Event()

    def take(exchange: Exchange) -> Reply:
        aborted.set()
        return answer({"ok": True})

    steps: Steps = [*OPENING, text("Well"), aborted, *end]
    agent.replies("/send", Reply(steps))
    agent.replies("/abort", take)


async def test_where_it_works_the_run_is_over(agent: Agent) -> None:
    interrupts(agent, *ABORTED)
    async with running(agent) as (upstream, run):
        assert await interrupt_run(upstream, "s1", run) is Interruption.ABORTED
        assert run.state == "finished"
        assert upstream.features.abort.works is True
    assert agent.exchanges[1].json["sessionId"] == "s1"


async def test_a_run_that_ends_by_itself_shows_nothing_of_the_gateway(agent: Agent) -> None:
    interrupts(agent, *closing())
    async with running(agent) as (upstream, run):
        assert await interrupt_run(upstream, "s1", run) is Interruption.ENDED
        assert upstream.features.abort.works is None


async def test_where_it_only_says_so_the_run_goes_on_and_it_is_not_asked_again(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Agentick 0.9 does."""
    monkeypatch.setattr(interruption, "ABORT_TO_END", 0.05)
    goes_on = asyncio.Event()
    agent.replies("/send", Reply([*OPENING, goes_on, text("Well"), *closing()]))
    agent.replies("/abort", answer({"ok": True}))
    async with running(agent) as (upstream, run):
        assert await interrupt_run(upstream, "s1", run) is Interruption.CONTINUES
        assert upstream.features.abort.works is False
        assert await interrupt_run(upstream, "s1", run) is Interruption.CONTINUES
        goes_on.set()
        await run.drain()
        assert run.state == "finished", "nothing of it was lost"
    assert [each.path for each in agent.exchanges].count("/abort") == 1


async def test_one_that_takes_long_is_no_proof_against_what_worked_before(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "ABORT_TO_END", 0.05)
    agent.plays(OPENING, "stall")
    agent.replies("/abort", answer({"ok": True}))
    async with running(agent) as (upstream, run):
        upstream.features.abort.update(works=True)
        assert await interrupt_run(upstream, "s1", run) is Interruption.CONTINUES
        assert upstream.features.abort.works is True


@pytest.mark.parametrize(
    ("reply", "works"),
    [
        (answer({"error": "Not found"}, 404), False),
        (answer({"error": "Method not allowed"}, 405), False),
        (answer({"error": "Session not found"}, 404), None),
        (answer({"error": "Session not found"}, 500), None),
        (answer({"error": "Authentication failed"}, 401), None),
    ],
)
async def test_a_refusal_is_no_abort(agent: Agent, reply: Reply, works: bool | None) -> None:
    agent.plays(OPENING, "stall")
    agent.replies("/abort", reply)
    async with running(agent) as (upstream, run):
        assert await interrupt_run(upstream, "s1", run) is Interruption.CONTINUES
        assert upstream.features.abort.works is works


async def test_a_named_session_is_aborted_when_its_reader_leaves_and_goes_on(proxy: StartProxy, agent: Agent) -> None:
    interrupts(agent, *ABORTED)
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(), headers=["X-Session-Id: ada"])
    await line.read_until(b"Well")
    session = agent.runs[0].session
    agent.kept_sessions.add(session)
    await line.close()
    await agent.until(lambda: [each for each in agent.exchanges if each.path == "/abort"])
    agent.plays(OPENING, text("Again"), closing())
    received = await front.post(chat_body(), headers={"X-Session-Id": "ada"})
    assert b"Again" in received.body
    assert agent.runs[1].session == session
    assert not agent.closed_sessions


async def test_an_answer_that_was_read_to_its_end_is_not_aborted(proxy: StartProxy, agent: Agent) -> None:
    """Its run may go on: an abort would take the turn out of the session's memory."""
    goes_on = asyncio.Event()
    call = frame("tool_call", callId="c1", blockIndex=0, name="tide", input={})
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    frames = [*OPENING, call, frame("message_end", stopReason="tool_use", usage=usage)]
    agent.replies("/send", Reply([*frames, goes_on, *closing()]))
    agent.replies("/abort", answer({"ok": True}))
    front = await proxy()
    tools = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]
    received = await front.post(chat_body(tools=tools), headers={"X-Session-Id": "ada"})
    assert b'"finish_reason":"tool_calls"' in received.body
    agent.kept_sessions.add(agent.runs[0].session)
    goes_on.set()
    await agent.until(lambda: agent.runs[0].outcome == "played")
    assert "/abort" not in [each.path for each in agent.exchanges]


# The demo gateway, on both wires


@pytest.mark.slow
async def test_a_kept_session_loses_its_run_alone(front: StartFront, wire: str) -> None:
    words = tuple(f"word{number} " for number in range(300))
    gateway = GatewaySettings(pace=0.01, recordings={"go": Script((Tick((Say(words),)),))})
    there = await front(gateway, session_drain=60.0)
    await there.ask("Hello", name="harbour")
    line = await there.line("go", name="harbour")
    await line.read_until(b"word3 ")
    await line.close()
    interrupts = wire == "0.14"
    await there.until(lambda: there.runs[1].status == ("aborted" if interrupts else "finished"), within=20)
    assert (await there.ask("And?", name="harbour")).finish_reason == "stop"
    assert len({run.session_key for run in there.runs}) == 1
    report = json.loads((await there.proxy.get("/v1/diagnostics/gateway")).body)
    assert report["abort"] is interrupts, "doctor reports the feature"
    there.keep_sessions()


async def test_doctor_finds_it_out_without_a_run(front: StartFront, wire: str) -> None:
    there = await front(GatewaySettings(pace=0))
    finding = json.loads((await there.proxy.get("/v1/diagnostics/gateway")).body)
    assert finding["abort"] is (wire == "0.14")
    assert there.runs == []
