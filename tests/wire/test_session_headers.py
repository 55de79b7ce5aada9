"""Clients that send a session header by themselves, with whole conversations: a header never costs a conversation.

The sequences are those of opencode and Kilo Code (a title and the answer at once, a switch of models, undo, Esc, plan
and build), and of Open WebUI, on the wires of old and new gateways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.proxy_harness import (
    Chat,
    Front,
    Messages,
    RedisServer,
    StartFront,
    assistant_message,
    function,
    result,
    user,
)

pytest_plugins = ["tests.support.proxy_fixtures"]

ECHO = "echo"
NAME = "ses_5f3a"


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


CODER = system("You are opencode, an agent that writes code.")
TITLE = system("You are a title generator. You output ONLY a thread title.")
WIRES = {
    "0.9": GatewaySettings(pace=0),
    "0.9 embedded": GatewaySettings(pace=0, form="embedded"),
    "0.14": GatewaySettings(pace=0, wire="0.14", form="standalone"),
    "0.14 embedded": GatewaySettings(pace=0, wire="0.14", form="embedded"),
}
Start = Callable[..., Awaitable[Front]]


@pytest.fixture(params=WIRES)
def start(request: pytest.FixtureRequest, front: StartFront) -> Start:
    async def begin(**settings: Any) -> Front:
        there: Front = await front(WIRES[request.param], **settings)
        return there

    return begin


class OpenCode(Chat):
    """Sends the system prompt and the whole conversation each time, with its own name for it."""

    def __init__(self, front: Front, **how: Any) -> None:
        super().__init__(front, name=NAME, **how)
        self.messages.append(CODER)


def keys(there: Front) -> list[str]:
    return [run.session_key for run in there.runs]


async def test_title_and_answer_at_once_are_two_sessions(start: Start) -> None:
    there = await start()
    chat = OpenCode(there)
    first, title = await asyncio.gather(
        chat.say("[[scenario:slow]]"), there.ask([TITLE, user("Generate a title:"), user("Fix it.")], name=NAME)
    )
    assert first.text
    assert title.text
    assert len({*keys(there)}) == 2
    assert max(run.readers for run in there.runs) == 1
    await chat.say("And the tests?")
    assert there.prompt() == "And the tests?", "only what is new goes out, and the title is not in the way"
    assert keys(there)[2] in keys(there)[:2]
    there.keep_sessions()


async def test_the_answer_does_not_wait_for_the_title(start: Start) -> None:
    """The answer is not refused either, and the title's run may take any time."""
    there = await start(session_wait=0)
    title = await there.line([TITLE, user("[[scenario:silent]]")], name=NAME)
    await there.until(lambda: there.running == 1)
    assert (await OpenCode(there).say("Fix it.")).text
    assert there.running == 1
    await title.close()
    await there.until(lambda: there.running == 0)
    there.keep_sessions()


async def test_the_whole_conversation_reaches_the_agent_under_any_name(start: Start) -> None:
    """A chat that was forked or imported, or whose session has expired: no session has answered it."""
    there = await start()
    before = [CODER, user("What is 2 + 2?"), {"role": "assistant", "content": "4"}]
    answer = await there.ask([*before, user("And 3 + 3?")], model=ECHO, name=NAME)
    for said_before in (CODER["content"], "What is 2 + 2?", "> 4", "And 3 + 3?"):
        assert said_before in answer.text
    there.keep_sessions()


async def test_a_switch_of_models_takes_the_conversation_along(start: Start) -> None:
    there = await start()
    chat = OpenCode(there)
    await chat.say("When is high tide?", model="demo")
    answer = await chat.say("And low tide?", model=ECHO)
    assert "When is high tide?" in answer.text
    assert CODER["content"] in answer.text
    await chat.say("Thanks.", model="demo")
    assert "And low tide?" in there.prompt(), "the first model has not heard what the second one answered"
    assert len({*keys(there)}) == 3
    there.keep_sessions()


async def test_undo_forks_the_conversation(start: Start) -> None:
    there = await start()
    chat = OpenCode(there)
    await chat.say("When is high tide?")
    await chat.say("Delete everything.")
    del chat.messages[-2:]
    await chat.say("Delete nothing.")
    assert "When is high tide?" in there.prompt()
    assert "Delete everything." not in there.prompt()
    first, second, undone = keys(there)
    assert first == second != undone
    await chat.say("Thanks.")
    assert (keys(there)[-1], there.prompt()) == (undone, "Thanks.")
    there.keep_sessions()


@pytest.mark.parametrize("stream", [True, False])
async def test_esc_stops_the_run_of_a_first_turn(start: Start, stream: bool) -> None:
    there = await start()
    line = await there.line([CODER, user("[[scenario:silent]]")], name=NAME, stream=stream)
    await there.until(lambda: there.running == 1)
    await line.close()
    await there.until(lambda: there.running == 0)
    await there.at_rest()
    answer = await there.ask([CODER, user("[[scenario:silent]]"), user("Rather this.")], name=NAME, model=ECHO)
    assert answer.text.endswith("Rather this.")
    there.keep_sessions()


async def test_esc_stops_the_run_of_a_later_turn(start: Start) -> None:
    there = await start()
    chat = OpenCode(there)
    await chat.say("When is high tide?")
    line = await there.line([*chat.messages, user("[[scenario:silent]]")], name=NAME)
    await there.until(lambda: there.running == 1)
    assert keys(there)[0] == keys(there)[1]
    await line.close()
    await there.until(lambda: there.running == 0)
    assert there.runs[1].status == "aborted"
    partial = {"role": "assistant", "content": "I was"}
    await there.ask([*chat.messages, user("[[scenario:silent]]"), partial, user("Go on.")], name=NAME)
    assert "When is high tide?" in there.prompt()
    there.keep_sessions()


async def test_a_turn_that_was_aborted_has_not_happened(front: StartFront) -> None:
    """A gateway that can abort keeps the session, without the turn that its reader left."""
    there = await front(WIRES["0.14"])
    chat = OpenCode(there)
    await chat.say("When is high tide?")
    line = await there.line([*chat.messages, user("[[scenario:silent]]")], name=NAME)
    await there.until(lambda: there.running == 1)
    await line.close()
    await there.until(lambda: there.running == 0)
    (session,) = there.gateway_state.sessions
    assert len(session.timeline) == 2
    await asyncio.sleep(0.1)  # the session is put back after the answer, without an event
    await chat.say("And low tide?")
    assert (keys(there)[-1], there.prompt()) == (session.key, "And low tide?")
    there.keep_sessions()


async def test_plan_and_build_change_what_was_said_before(start: Start) -> None:
    """opencode writes its reminders into the user's messages when they are sent, and takes them out later."""
    there = await start()
    planned = user("Add a test.\n<system-reminder>Plan mode is on.</system-reminder>")
    plan = await there.ask([CODER, planned], name=NAME)
    build = user("Do it.\n<system-reminder>Plan mode is off.</system-reminder>")
    await there.ask([CODER, user("Add a test."), assistant_message(plan), build], name=NAME)
    assert "Add a test." in there.prompt()
    assert "Do it." in there.prompt()
    first, second = keys(there)
    assert first != second
    there.keep_sessions()


async def test_tools_of_the_client_go_on_in_their_session(start: Start) -> None:
    there = await start()
    chat = OpenCode(there, tools=[function("tide", port="string")])
    answer = await chat.say("[[scenario:client_tool]]")
    (call_id, _, _), *_ = answer.tool_calls
    await chat.add(result(call_id, "High tide is at noon."))
    assert "High tide is at noon." in there.prompt()
    assert CODER["content"] not in there.prompt()
    assert len({*keys(there)}) == 1
    there.keep_sessions()


async def test_open_webui_asks_for_a_title_under_the_name_of_the_chat(start: Start) -> None:
    """It has no system prompt here, so its first question goes to the name's own session, and so does the title's."""
    there = await start(session_from=("header:X-OpenWebUI-Chat-Id",))
    post = there.proxy.post

    async def ask(messages: Messages, chat_id: str = "c1") -> None:
        from tests.support.proxy_harness import encode

        received = await post(encode(messages), headers={"x-openwebui-chat-id": chat_id})
        assert received.status == 200

    chat = Chat(there)
    await ask([user("When is high tide?")])
    await ask([user("### Task:\nGenerate a concise title.")])
    chat.messages = [user("When is high tide?"), {"role": "assistant", "content": "At noon."}, user("And low tide?")]
    await ask(chat.messages)
    assert "When is high tide?" in there.prompt(), "the session has heard something else meanwhile"
    await ask([user("### Task:\nGenerate a concise title.")])
    await ask([user("A new chat")], "c2")
    first, title, second, again, other = keys(there)
    assert first == title
    assert len({first, second, again, other}) == 4
    there.keep_sessions()


async def test_a_name_means_nothing_where_no_name_is_read(start: Start) -> None:
    there = await start(session_from=("none",))
    chat = OpenCode(there)
    await chat.say("When is high tide?")
    await there.at_rest()
    await chat.say("And low tide?")
    assert "When is high tide?" in there.prompt()
    await there.at_rest()


async def test_sessions_under_a_name_are_kept_for_a_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The primary session of the name is never closed."""
    monkeypatch.setattr("oaicompat_proxy.server.sessions.sessions.SWEEP_INTERVAL", 0.01)
    there = await start(session_ttl=1)
    await there.ask("When is high tide?", name="harbour")
    there.keep_sessions()
    await OpenCode(there).say("Fix it.")
    assert len(there.sessions) == 2
    await there.at_rest()
    assert there.sessions == [keys(there)[0]]


async def test_only_so_many_sessions_are_kept_under_all_names(start: Start) -> None:
    there = await start(max_sessions=3)
    await there.ask("When is high tide?", name="harbour")
    for number in range(8):
        await there.ask([CODER, user(f"Question {number}?")], name=f"{NAME}{number % 2}")
    await there.until(lambda: len(there.sessions) == 4)
    assert {*there.sessions} == {keys(there)[0], *keys(there)[-3:]}
    there.keep_sessions()


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_any_worker_continues_a_conversation(front: StartFront, redis_server: RedisServer, kind: str) -> None:
    """With Redis in the very session; without it by the whole conversation."""
    shared = {"redis": redis_server.url} if kind == "redis" else {}
    one = await front(**shared)
    other = await front(beside=one, **shared)
    chat = OpenCode(one)
    await chat.say("When is high tide?")
    messages = [*chat.messages, user("And low tide?")]
    await other.ask(messages, name=NAME)
    first, second = keys(one)
    if kind == "redis":
        assert (first, one.prompt()) == (second, "And low tide?")
    else:
        assert first != second
        assert "When is high tide?" in one.prompt()
    await other.ask("A new chat", name=NAME)
    assert keys(one)[-1] not in (first, second)
    await one.ask("Hi", name="harbour")
    await other.ask("And?", name="harbour")
    assert keys(one)[-1] == keys(one)[-2], "the name's own session needs no store"
    one.keep_sessions()


async def test_a_redis_that_is_gone_costs_no_conversation(front: StartFront, own_redis: RedisServer) -> None:
    there = await front(redis=own_redis.url)
    chat = OpenCode(there)
    await chat.say("When is high tide?")
    own_redis.stop()
    await chat.say("And low tide?")
    assert "When is high tide?" in there.prompt()
    assert await there.refused("Hi", name=NAME) == (503, "sessions_unavailable")
    there.keep_sessions()
