"""One run at a time in a session, for every caller, and for every end of the request before.

The gateway would hand a second caller the first one's stream, and spoil both.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import Line, Proxy, Received, StartProxy, chat_body
from tests.support.proxy_harness import Chat, StartFront
from tests.support.scripted_gateway import (
    OPENING,
    Agent,
    Exchange,
    Reply,
    Step,
    closing,
    failure,
    frame,
    run,
    text,
    tool_call,
)

pytest_plugins = ["tests.support.proxy_fixtures"]

NAMED = {"X-Session-Id": "harbour"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


class Ledger:
    """Plays one reply after the other, the last again and again, and notes how many runs of a session go on at once."""

    def __init__(self, agent: Agent, *replies: Reply) -> None:
        self._agent = agent
        self._replies = [*replies]
        self.most = 0
        agent.replies("/send", self._choose)

    def _choose(self, exchange: Exchange) -> Reply:
        going_on = [each for each in self._agent.runs if each.outcome == "playing" and each.session == exchange.session]
        self.most = max(self.most, len(going_on) + 1)
        self._agent.kept_sessions.add(exchange.session)
        if exchange.prompt == "bystander":
            return Reply(run("Hello"))
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def runs(agent: Agent) -> list[Exchange]:
    return [each for each in agent.runs if each.prompt != "bystander"]


def paths(agent: Agent) -> list[str]:
    return [each.path for each in agent.exchanges if each.path in ("/send", "/close")]


async def ask(front: Proxy, prompt: str = "Hi", *, stream: bool = True) -> Received:
    return await front.post(chat_body(prompt, stream=stream), headers=NAMED)


async def begin(front: Proxy, agent: Agent, *, stream: bool = True, **how: Any) -> Line:
    """A client of the session whose request has reached the agent."""
    before = len(agent.runs)
    line = await front.dial(**how)
    await line.post(chat_body(stream=stream), headers=["X-Session-Id: harbour"])
    await agent.until(lambda: len(agent.runs) > before)
    return line


async def pass_by(front: Proxy) -> None:
    """When this is answered, the proxy has handled the requests before it as far as it can."""
    assert (await front.chat("bystander")).status == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_second_request_waits_for_the_first(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    ledger = Ledger(agent, Reply([*OPENING, text("One"), gate, *closing()]), Reply(run("Two")))
    front = await proxy()
    first = asyncio.create_task(ask(front, stream=stream))
    await agent.until(lambda: agent.runs)
    second = asyncio.create_task(ask(front))
    await pass_by(front)
    assert len(runs(agent)) == 1
    assert not second.done()
    gate.set()
    assert (await first).status == 200
    assert check_stream((await second).body, include_usage=False).text == "Two"
    assert ledger.most == 1


@pytest.mark.parametrize("wait", [0, 0.05])
@pytest.mark.parametrize("stream", [True, False])
async def test_after_the_wait_the_session_is_busy(proxy: StartProxy, agent: Agent, wait: float, stream: bool) -> None:
    gate = asyncio.Event()
    Ledger(agent, Reply([*OPENING, gate, *closing()]), Reply(run("Two")))
    front = await proxy(session_wait=wait)
    line = await begin(front, agent)
    busy = await ask(front, stream=stream)
    error = check_error_body(busy.body)
    assert (busy.status, error["code"], error["type"]) == (409, "session_busy", "invalid_request_error")
    assert float(busy.headers["Retry-After"]) > 0
    assert busy.headers["x-should-retry"] == "true"
    assert len(agent.runs) == 1, "nothing was run for it"
    gate.set()
    await line.read_until(b"[DONE]")
    assert (await again(front)).status == 200, "and it may try again"


async def again(front: Proxy) -> Received:
    """As clients do that read `x-should-retry`."""
    async with asyncio.timeout(5):
        while (received := await ask(front)).status == 409:
            pass
        return received


async def test_however_many_ask_at_once_the_gateway_sees_one_send_at_a_time(proxy: StartProxy, agent: Agent) -> None:
    ledger = Ledger(agent, Reply(run("Hello")))
    front = await proxy()
    answers = await asyncio.gather(*(ask(front, f"question {n}", stream=bool(n % 2)) for n in range(30)))
    assert {answer.status for answer in answers} == {200}
    assert sorted(each.prompt for each in agent.runs) == sorted(f"question {n}" for n in range(30))
    assert ledger.most == 1


async def test_another_session_does_not_wait(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    Ledger(agent, Reply([*OPENING, gate, *closing()]), Reply(run("Two")))
    front = await proxy()
    line = await begin(front, agent)
    assert (await front.post(chat_body(), headers={"X-Session-Id": "quay"})).status == 200
    assert (await front.post(chat_body(), headers={**NAMED, "Authorization": "Bearer ada"})).status == 200
    assert (await front.chat()).status == 200
    gate.set()
    await line.read_until(b"[DONE]")


async def test_one_who_leaves_while_waiting_gives_up_the_place(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    Ledger(agent, Reply([*OPENING, gate, *closing()]), Reply(run("Hello")))
    front = await proxy()
    line = await begin(front, agent)
    waiting = await front.dial()
    await waiting.post(chat_body("never mind"), headers=["X-Session-Id: harbour"])
    await pass_by(front)
    last = asyncio.create_task(ask(front, "last"))
    await pass_by(front)
    await waiting.close()
    await pass_by(front)
    gate.set()
    assert (await last).status == 200
    await line.read_until(b"[DONE]")
    assert [each.prompt for each in runs(agent)] == ["Hi", "last"]


# The one before has left


BEGINNINGS: dict[str, list[Step]] = {
    "before anything was said": [],
    "after an opening": [*OPENING],
    "after a word": [*OPENING, text("Well")],
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_the_next_request_waits_for_a_run_whose_reader_left(
    proxy: StartProxy, agent: Agent, stream: bool, beginning: str
) -> None:
    """The session keeps its history: the run goes on to its end, and is read to it."""
    gate = asyncio.Event()
    head = BEGINNINGS[beginning]
    ledger = Ledger(agent, Reply([*head, gate, *OPENING[len(head) :], text("Over"), *closing()]), Reply(run("Two")))
    front = await proxy()
    line = await begin(front, agent, stream=stream)
    await line.close()
    await pass_by(front)
    second = asyncio.create_task(ask(front))
    await pass_by(front)
    assert len(runs(agent)) == 1
    gate.set()
    assert check_stream((await second).body, include_usage=False).text == "Two"
    assert [each.outcome for each in runs(agent)] == ["played", "played"]
    assert runs(agent)[0].session == runs(agent)[1].session
    assert runs(agent)[0].session not in agent.closed_sessions
    assert ledger.most == 1


async def test_a_reader_that_leaves_before_the_gateway_has_answered_at_all(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    whole = Reply(run("Over"), framing="close")
    late = Reply([gate, whole.head(), *whole.steps], framing="raw")
    ledger = Ledger(agent, late, Reply(run("Two")))
    front = await proxy()
    line = await begin(front, agent)
    await line.close()
    await pass_by(front)
    second = asyncio.create_task(ask(front))
    await pass_by(front)
    assert len(runs(agent)) == 1, "the run may have begun, and it is not known how far it is"
    gate.set()
    assert check_stream((await second).body, include_usage=False).text == "Two"
    assert ledger.most == 1
    assert runs(agent)[0].session not in agent.closed_sessions


class Pouring:
    """Much text, made while it is played."""

    def __iter__(self) -> Iterator[Step]:
        yield from OPENING
        yield from itertools.repeat(text("x" * 10_000), 2000)
        yield from closing()


async def test_a_reader_that_had_stalled_does_not_stall_the_rest(proxy: StartProxy, agent: Agent) -> None:
    """The proxy had paused reading because of the slow client; now it reads to the run's end."""
    Ledger(agent, Reply(Pouring()), Reply(run("Two")))
    front = await proxy()
    line = await begin(front, agent, receive_buffer=4096)
    await stalled(agent)
    line.reset()
    answer = await ask(front)
    assert (answer.status, check_stream(answer.body, include_usage=False).text) == (200, "Two")
    assert agent.runs[0].outcome == "played"


async def stalled(agent: Agent) -> None:
    """Returns when nothing more is taken from the agent."""
    sent = -1
    while agent.runs[0].sent != sent:
        sent = agent.runs[0].sent
        await asyncio.sleep(0.1)  # there is no event for what does not happen
    assert agent.runs[0].outcome == "playing"


async def test_a_run_without_a_reader_has_a_time_limit(proxy: StartProxy, agent: Agent) -> None:
    """Then its session is closed, and only then may the next request go in."""
    Ledger(agent, Reply([*OPENING, "stall"]), Reply(run("Two")))
    front = await proxy(session_drain=0.1)
    line = await begin(front, agent)
    await line.close()
    assert check_stream((await ask(front)).body, include_usage=False).text == "Two"
    assert paths(agent) == ["/send", "/close", "/send"]
    assert agent.runs[0].outcome == "left"


# The one before has failed


@pytest.mark.parametrize("stream", [True, False])
async def test_after_a_run_that_failed_the_session_is_free_at_once(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    Ledger(agent, Reply([*OPENING, text("Half"), failure("Model exploded")]), Reply(run("Two")))
    front = await proxy(session_wait=0)
    await ask(front, stream=stream)
    assert (await again(front)).status == 200
    assert agent.closed_sessions == []


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_after_a_refusal_of_the_gateway_the_session_is_as_it_was(
    proxy: StartProxy, agent: Agent, status: int
) -> None:
    Ledger(agent, Reply([b"{}"], status, "application/json", "length"), Reply(run("Two")))
    front = await proxy(session_wait=0)
    assert (await ask(front)).status == (503 if status == 503 else 502)
    assert (await again(front)).status == 200
    assert agent.closed_sessions == [], "nothing was run, so nothing has to be stopped"


async def test_after_a_gateway_that_was_not_there_the_session_is_free(proxy: StartProxy, unused_tcp_port: int) -> None:
    front = await proxy(upstream=f"http://127.0.0.1:{unused_tcp_port}", session_wait=0)
    codes = [check_error_body((await ask(front)).body)["code"] for _ in range(3)]
    assert codes == ["upstream_unreachable"] * 3


@pytest.mark.parametrize("broken", [[*OPENING, text("Half"), "cut"], ["cut"], ["reset"]])
async def test_a_run_that_was_lost_sight_of_is_stopped_before_the_next(
    proxy: StartProxy, agent: Agent, broken: list[Step]
) -> None:
    """The line broke: the run may go on without us, and the next caller would be given its stream."""
    Ledger(agent, Reply(broken), Reply(run("Two")))
    front = await proxy()
    await ask(front)
    assert check_stream((await ask(front)).body, include_usage=False).text == "Two"
    assert paths(agent) == ["/send", "/close", "/send"]


# The client's tool has ended the answer before the run


def calls_tool(gate: asyncio.Event) -> Reply:
    """The gateway invents a result, and the agent goes on with it."""
    invented = frame("tool_result_start", callId="c1", name="weather")
    rest = [frame("tick_end", tick=1, shouldContinue=True), frame("tick_start", tick=2), text("Made up"), *closing()]
    return Reply([*OPENING, *tool_call("c1", "weather", "{}"), invented, gate, *rest])


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOLD = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
]
KINDS: dict[str, tuple[str, dict[str, str]]] = {"named": ("fresh", NAMED), "recognised": ("recognise", {})}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_clients_result_waits_for_the_run_that_made_one_up(
    agent: Agent, front: StartFront, kind: str
) -> None:
    gate = asyncio.Event()
    sessions, headers = KINDS[kind]
    ledger = Ledger(agent, calls_tool(gate), Reply(run("It rains")))
    proxy = (await front(upstream=agent.url, sessions=sessions)).proxy
    first = await proxy.post(chat_body(tools=[WEATHER]), headers=headers)
    assert check_stream(first.body, include_usage=False).finish_reason == "tool_calls"
    second = asyncio.create_task(proxy.post(chat_body(messages=TOLD, tools=[WEATHER]), headers=headers))
    await pass_by(proxy)
    assert len(runs(agent)) == 1
    gate.set()
    assert check_stream((await second).body, include_usage=False).text == "It rains"
    assert ledger.most == 1
    assert runs(agent)[0].session == runs(agent)[1].session
    assert "> Rain" in runs(agent)[1].prompt


async def test_a_recognised_session_that_is_busy_is_still_recognised_later(agent: Agent, front: StartFront) -> None:
    gate = asyncio.Event()
    Ledger(agent, calls_tool(gate), Reply(run("It rains")))
    proxy = (await front(upstream=agent.url, sessions="recognise", session_wait=0)).proxy
    await proxy.post(chat_body(tools=[WEATHER]))
    for _ in range(3):
        busy = await proxy.post(chat_body(messages=TOLD, tools=[WEATHER]))
        assert (busy.status, check_error_body(busy.body)["code"]) == (409, "session_busy")
    gate.set()
    async with asyncio.timeout(5):
        while (received := await proxy.post(chat_body(messages=TOLD, tools=[WEATHER]))).status == 409:
            pass
    assert received.status == 200
    assert len(runs(agent)) == 2
    assert runs(agent)[0].session == runs(agent)[1].session


async def test_a_recognisable_session_whose_run_never_ends_is_forgotten(agent: Agent, front: StartFront) -> None:
    """It is closed, so its history is gone: the next turn has the whole conversation."""
    Ledger(agent, calls_tool(asyncio.Event()), Reply(run("It rains")))
    proxy = (await front(upstream=agent.url, sessions="recognise", session_drain=0.05)).proxy
    await proxy.post(chat_body(tools=[WEATHER]))
    await agent.until(lambda: agent.closed_sessions)
    received = await proxy.post(chat_body(messages=TOLD, tools=[WEATHER]))
    assert received.status == 200
    assert runs(agent)[0].session != runs(agent)[1].session
    assert "Conversation so far: 3 messages" in runs(agent)[1].prompt


# On the demo gateway, which replays a busy session's run to whoever comes


@pytest.mark.usefixtures("wire")
async def test_the_demo_gateway_hands_its_runs_to_one_caller_each(front: StartFront) -> None:
    there = await front()
    chats = [Chat(there, name=f"room {n % 3}") for n in range(12)]
    answers = await asyncio.gather(*(chat.say(f"Question {n}?") for n, chat in enumerate(chats)))
    for n, answer in enumerate(answers):
        assert f"Question {n}?" in answer.text
    assert len({run.session_key for run in there.runs}) == 3
    assert json.dumps([len(session.timeline) for session in there.gateway_state.sessions]) == "[8, 8, 8]"
    there.keep_sessions()
