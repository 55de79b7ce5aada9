"""The rest of a run that waited for a confirmation, on the wire of a scripted gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import (
    AgentError,
    AgentUnanswerable,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
)
from oaicompat_proxy.core.events import Event, RunEnded, TextDelta, ToolCallHandled
from oaicompat_proxy.core.turn import ConfirmationReply
from oaicompat_proxy.server.upstream import continued_run
from oaicompat_proxy.server.upstream.continued_run import ContinuedRun
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.translation.confirmations import Confirmation, Question
from tests.support.scripted_gateway import Agent, Exchange, Reply, Step, answer, frame, no_apps, text

HELLO = b'data: {"type":"connection","connectionId":"e1","subscriptions":[]}\n\n'
DONE = frame("tool_result", callId="c1", name="launch", result=[])
"""What follows the confirmation, before the next message."""
END = frame("execution_end", executionId="e1", aborted=False, output={"timeline": []})
YES_TO_C1 = ConfirmationReply("c1", True)
YES = Confirmation(Question("demo:s1", "c1", 2**40, lasting=False), YES_TO_C1, "confirm_x")


@asynccontextmanager
async def reaching(agent: Agent) -> AsyncIterator[Upstream]:
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    try:
        yield upstream
    finally:
        upstream.close()


def plays_events(agent: Agent, events: Reply) -> None:
    choose = agent.choose

    def chosen(exchange: Exchange) -> Reply:
        return events if exchange.path.startswith("/events") else choose(exchange)

    agent.choose = chosen  # type: ignore[method-assign]
    agent.replies("/subscribe", answer({"ok": True}))
    agent.replies("/invoke", answer({"ok": True}))


def plays_rest(agent: Agent, hello: bytes = HELLO, rest: Sequence[Step] = (DONE, text("Done."), END)) -> None:
    """The run goes on when it was answered."""
    answered = asyncio.Event()

    def take_answer(exchange: Exchange) -> Reply:
        answered.set()
        return answer({"ok": True})

    plays_events(agent, Reply([hello, answered, *rest]))
    agent.replies("/invoke", take_answer)


def resumed(upstream: Upstream, confirmation: Confirmation = YES, **settings: Any) -> ContinuedRun:
    return ContinuedRun(upstream, confirmation, Config(**{"demo": True, "silence_timeout": 5.0, **settings}))


async def read_all(run: ContinuedRun) -> list[Event]:
    await run.open()
    return [event async for events in run for event in events]


async def test_it_listens_and_subscribes_before_it_answers(agent: Agent) -> None:
    """So no event after the answer is missed."""
    plays_rest(agent)
    async with reaching(agent) as upstream:
        assert await read_all(resumed(upstream)) == [ToolCallHandled("c1"), TextDelta("Done."), RunEnded()]
    listening, subscribing, answering = agent.exchanges
    client_id = listening.path.removeprefix("/events?clientId=")
    assert subscribing.json == {
        "clientId": client_id,
        "connectionId": "e1",
        "sessionId": "demo:s1",
        "add": ["demo:s1"],
    }
    assert answering.json["method"] == "tool-confirm"


async def test_two_that_resume_at_once_are_two_listeners(agent: Agent) -> None:
    plays_rest(agent)
    async with reaching(agent) as upstream:
        await asyncio.gather(read_all(resumed(upstream)), read_all(resumed(upstream)))
    assert len({each.path for each in agent.exchanges if each.path.startswith("/events")}) == 2


@pytest.mark.parametrize(
    ("events", "error"),
    [
        (answer({"error": "Not found"}, 404), UpstreamError),
        (answer({}, 500), UpstreamError),
        (Reply([]), UpstreamError),
        (Reply([b": nothing\n\n", "cut"]), UpstreamInterrupted),
    ],
)
async def test_without_a_stream_of_events_nothing_is_answered(
    agent: Agent, events: Reply, error: type[Exception]
) -> None:
    plays_events(agent, events)
    async with reaching(agent) as upstream:
        run = resumed(upstream)
        with pytest.raises(error):
            await run.open()
        run.abort()
        assert run.state == "not_sent", "the run still waits, for another reply"
    assert "/invoke" not in [each.path for each in agent.exchanges]


async def test_a_stream_of_events_that_does_not_begin_is_not_waited_for(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continued_run, "CONNECTION_EVENT_TIMEOUT", 0.05)
    for events in (Reply(["stall"]), Reply(["stall"], framing="raw")):
        plays_events(agent, events)
        async with reaching(agent) as upstream:
            run = resumed(upstream)
            with pytest.raises(UpstreamTimeout):
                await run.open()
            run.abort()
    await agent.until(lambda: not agent.left_behind)


@pytest.mark.parametrize("hello", [b"data: {}\n\n", b"data: no json\n\n", b"data: 7\n\n"])
async def test_a_greeting_without_an_id_is_good_enough(agent: Agent, hello: bytes) -> None:
    """The id of our own choice is in the address."""
    plays_rest(agent, hello)
    async with reaching(agent) as upstream:
        assert await read_all(resumed(upstream)) == [ToolCallHandled("c1"), TextDelta("Done."), RunEnded()]


async def test_a_subscription_that_is_refused_is_an_error(agent: Agent) -> None:
    plays_events(agent, Reply([HELLO, "stall"]))
    agent.replies("/subscribe", answer({"error": "Connection not found"}, 404))
    async with reaching(agent) as upstream:
        run = resumed(upstream)
        with pytest.raises(UpstreamError, match="404"):
            await run.open()
        run.abort()
        assert run.state == "not_sent"
    await agent.until(lambda: not agent.left_behind)


async def test_heartbeats_are_no_sign_of_life(agent: Agent) -> None:
    class Beating:
        def __iter__(self) -> Iterator[bytes]:
            yield HELLO
            while True:
                yield b":heartbeat\n\n"

    plays_events(agent, Reply(Beating()))
    async with reaching(agent) as upstream:
        run = resumed(upstream, silence_timeout=0.1)
        await run.open()
        with pytest.raises(UpstreamTimeout):
            await anext(run)
        run.abort()
    await agent.until(lambda: not agent.left_behind)


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_reply_is_accepted_and_the_run_finishes(agent: Agent, lasting: bool) -> None:
    plays_rest(agent, rest=[DONE, text("Done."), END, "stall"])
    question = Question("demo:s1", "c1", 2**40, lasting)
    async with reaching(agent) as upstream:
        run = resumed(upstream, Confirmation(question, YES_TO_C1, "confirm_x"))
        assert (run.state, run.in_persistent_session) == ("not_sent", lasting)
        await run.open()
        assert run.state == "accepted"
        while RunEnded() not in [*await anext(run)]:
            pass
        assert run.state == "finished"
        run.abort()
    await agent.until(lambda: not agent.left_behind)


TICK_END = frame("tick_end", tick=1, shouldContinue=True)


@pytest.mark.parametrize("missed", [[text("one.")], [END], [TICK_END, text("one.")], [TICK_END, END]])
async def test_a_listener_that_missed_the_beginning_gives_no_answer(agent: Agent, missed: list[bytes]) -> None:
    """Another request has continued the run, and the gateway accepts the confirmation once more."""
    plays_rest(agent, rest=[*missed, text(" more"), END])
    async with reaching(agent) as upstream:
        run = resumed(upstream)
        with pytest.raises(AgentError, match="Another request"):
            await read_all(run)
        run.abort()


async def test_a_listener_that_missed_only_the_tool_has_the_answer(agent: Agent) -> None:
    plays_rest(agent, rest=[TICK_END, frame("tick_start", tick=2), text("Done."), END])
    async with reaching(agent) as upstream:
        assert [each for each in await read_all(resumed(upstream)) if type(each) is TextDelta] == [TextDelta("Done.")]


@pytest.mark.parametrize("lasting", [True, False])
async def test_a_gateway_that_takes_no_replies_rejects_them(agent: Agent, lasting: bool) -> None:
    plays_events(agent, Reply([HELLO, "stall"]))
    agent.replies("/invoke", no_apps())
    async with reaching(agent) as upstream:
        run = resumed(upstream, Confirmation(Question("demo:s1", "c1", 2**40, lasting), YES_TO_C1, "confirm_x"))
        with pytest.raises(AgentUnanswerable):
            await run.open()
        assert run.state == "rejected"
        run.abort()
    await agent.until(lambda: not agent.left_behind)


async def test_one_that_was_answered_by_somebody_else_is_not_ours(agent: Agent) -> None:
    plays_events(agent, Reply([HELLO, "stall"]))
    agent.replies("/invoke", answer({"error": "No pending confirmation for this call"}, 400))
    async with reaching(agent) as upstream:
        run = resumed(upstream)
        with pytest.raises(AgentError, match="any more"):
            await run.open()
        assert run.state == "not_sent"
        run.abort()
    await agent.until(lambda: not agent.left_behind)
