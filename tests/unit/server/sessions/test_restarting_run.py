"""Questions that are answered with yes by running the agent again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamInterrupted, UpstreamRateLimited, UpstreamUnreachable
from oaicompat_proxy.core.events import (
    ConfirmationRequired,
    Event,
    RunEnded,
    TextDelta,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallStarted,
    ToolFinished,
)
from oaicompat_proxy.core.message import Message, Text, ToolCall
from oaicompat_proxy.core.turn import ConfirmationReply, Turn
from oaicompat_proxy.server.sessions import restarting_run
from oaicompat_proxy.server.sessions.restarting_run import RestartingRun

HI = Turn((Text("Hi"),))
ASKED = ConfirmationRequired("w1", "launch", '{"ship":"Pen Duick"}', "Launch?")


class Run:
    """A run that says this, each event in a read of its own."""

    def __init__(self, events: list[Event], failure: Exception | None = None) -> None:
        self._events = iter(events)
        self._failure = failure
        self.finished = False

    async def open(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def __anext__(self) -> Iterator[Event]:
        try:
            return iter([next(self._events)])
        except StopIteration:
            raise StopAsyncIteration from None

    async def finish(self) -> None:
        self.finished = True


class Agent:
    """Runs, one after the other; notes the turns that they were begun with."""

    def __init__(self, *runs: Run) -> None:
        self.runs = list(runs)
        self.turns: list[Turn] = []

    def start(self, turn: Turn) -> Any:
        self.turns.append(turn)
        return self.runs[len(self.turns) - 1]

    async def events_of_run(self, turn: Turn = HI) -> list[Event]:
        runs = RestartingRun(self.start, turn)
        await runs.open()
        return [event async for events in runs for event in events]


async def test_a_run_that_asks_nothing_is_the_only_one() -> None:
    agent = Agent(Run([TextDelta("Hello."), RunEnded()]))
    assert await agent.events_of_run() == [TextDelta("Hello."), RunEnded()]
    assert agent.turns == [HI]


async def test_a_yes_is_another_run_that_goes_on_in_another_tick() -> None:
    agent = Agent(Run([TextDelta("Well."), ASKED]), Run([TextDelta("Done."), RunEnded()]))
    assert await agent.events_of_run() == [TextDelta("Well."), ASKED, TickStarted(), TextDelta("Done."), RunEnded()]
    assert agent.runs[0].finished
    first, second = agent.turns
    assert (first.reply, second.reply) == (None, ConfirmationReply("w1", confirmed=True))
    asked = Message("assistant", (), None, (ToolCall("w1", "launch", '{"ship":"Pen Duick"}'),))
    assert second.messages == (Message("user", (Text("Hi"),)), asked)


async def test_tools_that_ran_before_are_shown() -> None:
    events: list[Event] = [
        ToolCallStarted("c1", "almanac"),
        ToolCallDelta("c1", '{"port":'),
        ToolCallDelta("c1", '"Brest"}'),
        ToolCalled("c2", "moon", ""),
        ToolCallStarted("c3", "launch"),
        ToolFinished("c1", "almanac", "06:12", False, None),
        ToolFinished("c2", "moon", "new", False, None),
        ToolFinished("c9", "unheard of", "", False, None),
    ]
    agent = Agent(Run([*events, ASKED]), Run([ASKED]), Run([RunEnded()]))
    before = (Message("user", (Text("Go."),), id="m1"),)
    await agent.events_of_run(Turn((), {}, before))
    waiting = ToolCall("w1", "launch", '{"ship":"Pen Duick"}')
    calls = (ToolCall("c1", "almanac", '{"port":"Brest"}'), ToolCall("c2", "moon", "{}"), waiting)
    second = (
        *before,
        Message("assistant", (), None, calls),
        Message("tool", (Text("06:12"),), tool_call_id="c1"),
        Message("tool", (Text("new"),), tool_call_id="c2"),
    )
    assert agent.turns[1].messages == second
    assert agent.turns[2].messages == (*second, Message("assistant", (), None, (waiting,)))


async def test_a_run_that_ended_on_its_own_calls_goes_on_too() -> None:
    agent = Agent(Run([RunEnded(ASKED)]), Run([RunEnded()]))
    assert await agent.events_of_run() == [RunEnded(ASKED), TickStarted(), RunEnded()]
    assert agent.turns[1].reply == ConfirmationReply("w1", confirmed=True)


async def test_a_call_that_was_approved_is_not_approved_for_ever() -> None:
    other = ASKED._replace(arguments='{"ship":"Kon-Tiki"}')
    agent = Agent(*(Run([RunEnded(each)]) for each in (ASKED, other, other)), Run([RunEnded()]))
    with pytest.raises(UpstreamError, match="'launch' that was approved"):
        await agent.events_of_run()
    assert len(agent.turns) == 3


async def test_an_agent_that_asks_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting_run, "MAX_CONFIRMATIONS", 3)
    agent = Agent(*(Run([ASKED]) for _ in range(9)))
    with pytest.raises(UpstreamError, match="more than 3 confirmations"):
        await agent.events_of_run()
    assert len(agent.turns) == 3


@pytest.mark.parametrize("failure", [UpstreamUnreachable("gone"), UpstreamRateLimited("busy", retry_after=1)])
async def test_an_agent_that_is_gone_after_it_asked_may_have_done_something(failure: UpstreamError) -> None:
    agent = Agent(Run([ASKED]), Run([], failure))
    with pytest.raises(UpstreamInterrupted) as caught:
        await agent.events_of_run()
    assert caught.value.should_retry is False
