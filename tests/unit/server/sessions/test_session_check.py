"""A gateway that has forgotten a session, as one that was restarted has: seen in the first frame, and mended once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import check_stream
from tests.support.prometheus_text import scrape
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.proxy_harness import Chat, Front, StartFront, user
from tests.support.scripted_gateway import OPENING, Agent, Exchange, Reply, Step, closing, frame, run, text

pytest_plugins = ["tests.support.proxy_fixtures"]

SYSTEM = {"role": "system", "content": "Be brief."}
WIRES = {
    "0.9": GatewaySettings(pace=0),
    "0.9 embedded": GatewaySettings(pace=0, form="embedded"),
    "0.14": GatewaySettings(pace=0, wire="0.14", form="standalone"),
    "0.14 embedded": GatewaySettings(pace=0, wire="0.14", form="embedded"),
}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "under a name": ({}, {"name": "harbour"}, [SYSTEM]),
    "in the name's own session": ({}, {"name": "harbour"}, []),
    "recognised": ({"sessions": "recognise"}, {}, [SYSTEM]),
}


async def forgotten(front: Proxy) -> float:
    return (await scrape(front)).total("oaicompat_sessions_forgotten_total")


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_restarted_gateway_gets_the_conversation_again(
    front: StartFront, wire: str, kind: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings, how, before = KINDS[kind]
    there = await front(WIRES[wire], **settings)
    chat = Chat(there, stream=stream, **how)
    chat.messages += before
    await chat.say("When is high tide?")
    await chat.say("And low tide?")
    assert there.prompt() == "And low tide?"
    there.gateway_state.restart()
    answer = await chat.say("Thanks.")
    assert "Thanks." in answer.text
    for said_before in ("When is high tide?", "And low tide?", "Thanks."):
        assert said_before in there.prompt()
    first, _, stopped, again = there.runs
    assert (first.session_key, stopped.status) == (stopped.session_key, "aborted")
    assert again.session_key != stopped.session_key
    assert "its conversation is sent again" in caplog.text
    assert await forgotten(there.proxy) == 1
    await chat.say("Goodbye.")
    assert (there.prompt(), there.runs[-1].session_key) == ("Goodbye.", again.session_key)
    await there.until(lambda: stopped.session_key not in there.sessions)
    there.keep_sessions()


@pytest.mark.parametrize("history", ["full", "fold", "last"])
async def test_it_is_sent_again_as_the_operator_wants_it(front: StartFront, history: str) -> None:
    there = await front(history=history)
    chat = Chat(there, name="harbour")
    chat.messages.append(SYSTEM)
    await chat.say("When is high tide?")
    there.gateway_state.restart()
    await chat.say("And low tide?")
    _, body = [each for each in there.gateway_state.requests if each[0] == "/send"][-1]
    assert "When is high tide?" in json.dumps(json.loads(body))
    there.keep_sessions()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_client_that_sends_its_newest_message_gets_the_answer(
    front: StartFront, wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    there = await front(WIRES[wire])
    await there.ask("When is high tide?", name="harbour")
    await there.ask("And low tide?", name="harbour")
    assert "forgotten" not in caplog.text
    there.gateway_state.restart()
    assert "Thanks." in (await there.ask("Thanks.", name="harbour")).text
    assert there.runs[-1].session_key == there.runs[0].session_key
    assert "sends only its newest message" in caplog.text
    assert await forgotten(there.proxy) == 1
    await there.ask("Goodbye.", name="harbour")
    assert await forgotten(there.proxy) == 1
    there.keep_sessions()


async def test_the_first_use_of_a_name_is_no_loss(front: StartFront, caplog: pytest.LogCaptureFixture) -> None:
    there = await front()
    await there.ask("When is high tide?", name="harbour")
    assert (await forgotten(there.proxy), caplog.text.count("forgotten")) == (0, 0)
    there.keep_sessions()


async def test_a_session_that_another_proxy_used_is_not_new(front: StartFront) -> None:
    """The sequence numbers of the frames show it, though this proxy does not know the session."""
    one = await front()
    await one.ask("When is high tide?", name="harbour")
    other = await front(beside=one)
    chat = Chat(other, name="harbour")
    await chat.say("And low tide?")
    await chat.say("Thanks.")
    assert "And low tide?" in one.prompt(), "the session had heard more than that"
    one.keep_sessions()


# On a scripted gateway


def numbered(sequence: int, *pieces: str) -> list[Step]:
    return [frame("execution_start", executionId="e1", sequence=sequence), *OPENING[1:], *map(text, pieces), *closing()]


async def converse(front: Proxy, *turns: str) -> bytes:
    """Turns of the user, with the agent's answers to all but the last of them, in one request."""
    messages: list[dict[str, Any]] = [SYSTEM]
    for turn in turns:
        messages += [user(turn), {"role": "assistant", "content": "Hello"}]
    received = await front.post(chat_body(messages=messages[:-1]), headers={"X-Session-Id": "harbour"})
    assert received.status == 200, received.body
    return received.body


async def test_nothing_of_the_forgotten_run_is_passed_on(proxy: StartProxy, agent: Agent) -> None:
    """The run is stopped at its first frame, since it may never send another one."""

    def choose(exchange: Exchange) -> Reply:
        if len(agent.runs) == 1:
            return Reply([frame("execution_start", executionId="e1", sequence=1), "stall"])
        return Reply(numbered(1, "Hello"))

    agent.replies("/send", Reply(numbered(1, "Hello")), choose)
    front = await proxy()
    await converse(front, "Hi")
    body = await converse(front, "Hi", "And?")
    assert check_stream(body, include_usage=False).text == "Hello"
    first, stopped, again = agent.runs
    assert (stopped.session, stopped.outcome) == (first.session, "left")
    await agent.until(lambda: stopped.session in agent.closed_sessions)
    agent.kept_sessions.add(again.session)


async def test_it_is_sent_again_once(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(numbered(1, "Hello")))
    front = await proxy()
    await converse(front, "Hi")
    await converse(front, "Hi", "And?")
    assert len(agent.runs) == 3
    agent.kept_sessions.add(agent.runs[-1].session)


@pytest.mark.parametrize(
    "opening",
    [
        [frame("execution_start", executionId="e1")],
        [frame("execution_start", executionId="e1", sequence=7)],
        [frame("execution_start", executionId="e1", sequence="1")],
        [frame("execution_start", executionId="e1", sequence=True)],
        [b": hello\n\n", frame("execution_start", executionId="e1", sequence=7)],
        [b"data: [1]\n\n"],
        [frame("execution_start", executionId="e1", sequence=7, prompt="x" * 100_000)],
    ],
)
async def test_a_first_frame_that_says_nothing_of_it_is_no_loss(
    proxy: StartProxy, agent: Agent, opening: list[Step]
) -> None:
    agent.replies("/send", Reply(run("Hello")), Reply([*opening, *run("Hello")]))
    front = await proxy()
    await converse(front, "Hi")
    await converse(front, "Hi", "And?")
    assert len(agent.runs) == 2
    assert agent.runs[0].session == agent.runs[1].session
    agent.kept_sessions.add(agent.runs[0].session)


async def test_a_first_frame_in_pieces_is_read_too(proxy: StartProxy, agent: Agent) -> None:
    whole = frame("execution_start", executionId="e1", sequence=1)
    pieces: list[Step] = [whole[index : index + 20] for index in range(0, len(whole), 20)]
    agent.replies("/send", Reply(run("Hello")), Reply([*pieces, *run("Hello")[1:]]), Reply(run("Hello")))
    front = await proxy()
    await converse(front, "Hi")
    await converse(front, "Hi", "And?")
    assert len(agent.runs) == 3
    agent.kept_sessions.add(agent.runs[-1].session)


async def test_a_question_after_it_was_sent_again_belongs_to_the_new_session(front: StartFront) -> None:
    there: Front = await front(confirmations="approve")
    chat = Chat(there, name="harbour")
    chat.messages.append(SYSTEM)
    await chat.say("When is high tide?")
    there.gateway_state.restart()
    await chat.say("[[scenario:confirm]]")
    assert there.runs[-1].status == "finished"
    there.keep_sessions()
