"""Answers to tools of the agent's that wait for a human, on the wire of a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import (
    AgentError,
    AgentUnanswerable,
    UpstreamInterrupted,
)
from oaicompat_proxy.core.events import ConfirmationRequired, Event, RunEnded
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.server.upstream.approvals import approve_all, confirm
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.run import Run
from tests.support.scripted_gateway import OPENING, Agent, Exchange, Reply, Step, answer, closing, frame, no_apps, text


@asynccontextmanager
async def reaching(agent: Agent) -> AsyncIterator[Upstream]:
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    try:
        yield upstream
    finally:
        upstream.close()


# The answer itself


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("reason", ["", "It is Sunday."])
async def test_it_says_which_call_of_which_session(agent: Agent, confirmed: bool, reason: str) -> None:
    agent.replies("/invoke", answer({"ok": True}))
    async with reaching(agent) as upstream:
        await confirm(upstream, "demo:s1", "c1", confirmed=confirmed, reason=reason)
    params = {"sessionId": "demo:s1", "callId": "c1", "confirmed": confirmed, **({"reason": reason} if reason else {})}
    assert agent.exchanges[0].json == {"method": "tool-confirm", "params": params}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (no_apps(), AgentUnanswerable),
        (answer({"error": "Unknown method: tool-confirm", "code": "NOT_FOUND_RESOURCE"}, 404), AgentUnanswerable),
        (answer({}, 501), AgentUnanswerable),
        (answer({"error": "No pending confirmation for this call", "code": "METHOD_ERROR"}, 400), AgentError),
        (answer({"error": "Session not found: s1"}, 404), AgentError),
        (Reply(["cut"], framing="raw"), UpstreamInterrupted),
    ],
)
async def test_kinds_of_failures_are_distinguished(agent: Agent, reply: Reply, error: type[Exception]) -> None:
    agent.replies("/invoke", reply)
    async with reaching(agent) as upstream:
        with pytest.raises(error) as raised:
            await confirm(upstream, "s1", "c1", confirmed=True)
    assert type(raised.value) is error


# A run whose questions are answered with yes


def asks(call_id: str) -> bytes:
    return frame("tool_confirmation_required", callId=call_id, name="danger", input={}, message="Allow?")


@asynccontextmanager
async def approving(agent: Agent, *steps: Step) -> AsyncIterator[Run]:
    """A run of these steps whose questions are answered with yes."""
    agent.replies("/send", Reply([*OPENING, *steps]))
    agent.kept_sessions.add("s1")
    async with reaching(agent) as upstream:
        run = upstream.run(upstream.dialect.build_run(Turn((Text("Hi"),)), app="", key="s1", run_id="r1"))
        approve_all(run, upstream, "s1")
        yield run
        run.abort()


async def pulled(run: Run) -> list[Event]:
    await run.open()
    return [event async for events in run for event in events]


async def pushed(run: Run) -> list[Event]:
    received: list[Event] = []

    def take(events: Iterable[Event]) -> bool:
        received.extend(events)
        return True

    await run.open()
    await run.push_to(take)
    return received


both_ways = pytest.mark.parametrize("read", [pulled, pushed])


@both_ways
async def test_every_question_is_approved_while_the_run_is_read(agent: Agent, read: Any) -> None:
    gates = {"c1": asyncio.Event(), "c2": asyncio.Event()}

    def approve(exchange: Exchange) -> Reply:
        gates[exchange.json["params"]["callId"]].set()
        return answer({"ok": True})

    agent.replies("/invoke", approve)
    async with approving(agent, asks("c1"), gates["c1"], asks("c2"), gates["c2"], *closing()) as run:
        events = await read(run)
    assert [event.call_id for event in events if isinstance(event, ConfirmationRequired)] == ["c1", "c2"]
    assert events[-1] == RunEnded()
    assert [each.json["params"] for each in agent.exchanges if each.path == "/invoke"] == [
        {"sessionId": "s1", "callId": call_id, "confirmed": True} for call_id in ("c1", "c2")
    ]


@both_ways
async def test_where_it_cannot_be_approved_the_run_is_given_up_with_the_reason(agent: Agent, read: Any) -> None:
    agent.replies("/invoke", no_apps())
    async with approving(agent, asks("c1"), "stall") as run:
        with pytest.raises(AgentUnanswerable):
            await read(run)
        await agent.until(lambda: not agent.left_behind)


@both_ways
async def test_a_run_that_fails_for_another_reason_says_that_one(agent: Agent, read: Any) -> None:
    async with approving(agent, text("a"), "cut") as run:
        with pytest.raises(UpstreamInterrupted):
            await read(run)
