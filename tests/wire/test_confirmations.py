"""A tool of the agent's that waits for a human (setting `confirmations`): asked, denied, approved; never a hang.

`danger` is the demo's tool that asks first. Release 0.9.4 has no way to be answered.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from typing import Any

import openai
import pytest

from oaicompat_proxy.demo.script import Pause, Say, Script, ScriptedToolCall, Tick
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import Answer, check_error_body, check_stream
from tests.support.proxy_harness import Chat, Front, StartFront, function, result, user

pytest_plugins = ["tests.support.proxy_fixtures"]

CONFIRM = "[[scenario:confirm]]"
OLD = GatewaySettings(release="0.9.4", pace=0)
NEW = GatewaySettings(release="924f879", pace=0)
RELEASES = {"0.9.4": OLD, "924f879": NEW}

both_ways = pytest.mark.parametrize("stream", [True, False])
on_both_wires = pytest.mark.usefixtures("wire")
on_both_releases = pytest.mark.parametrize("release", RELEASES)

ASK: dict[str, Any] = {"confirmations": "ask"}


def asked(there: Front) -> list[dict[str, Any]]:
    """The confirmation requests to the gateway."""
    return [params for params in _confirmations(there) if not params["sessionId"].startswith("unknown-")]


def tried(there: Front) -> list[dict[str, Any]]:
    """The requests that only test whether the gateway has the method."""
    return [params for params in _confirmations(there) if params["sessionId"].startswith("unknown-")]


def _confirmations(there: Front) -> list[dict[str, Any]]:
    bodies = [json.loads(body) for path, body in there.gateway_state.requests if path == "/invoke"]
    return [body["params"] for body in bodies if body["method"] == "tool-confirm"]


def done(answer: Answer) -> bool:
    return "It is over." in answer.text


def the_call(answer: Answer) -> tuple[str, dict[str, Any]]:
    ((call_id, name, arguments),) = answer.tool_calls
    assert (name, answer.finish_reason) == ("confirm_tool_call", "tool_calls")
    return call_id, json.loads(arguments)


async def begin(there: Front, **how: Any) -> tuple[Chat, str]:
    """A client that was asked, and the id of the question."""
    chat = Chat(there, **how)
    call_id, _ = the_call(await chat.say(CONFIRM))
    return chat, call_id


# Deny


@on_both_releases
@both_ways
async def test_by_default_it_ends_the_run_with_an_error_that_names_the_tool(
    front: StartFront, release: str, stream: bool
) -> None:
    there = await front(RELEASES[release])
    received = await there.post(CONFIRM, stream=stream)
    error = check_stream(received.body, include_usage=False).error if stream else check_error_body(received.body)
    assert error is not None
    assert error["code"] == "agent_error"
    assert "'danger'" in error["message"]
    await there.at_rest()


@both_ways
async def test_in_a_session_with_history_the_agent_gets_a_no(front: StartFront, stream: bool) -> None:
    there = await front(NEW)
    await there.ask("Hello", name="harbour")
    await there.post(CONFIRM, name="harbour", stream=stream)
    assert (await there.ask("And?", name="harbour")).finish_reason == "stop"
    assert [each["confirmed"] for each in asked(there)] == [False]
    assert [run.status for run in there.runs] == ["finished"] * 3
    (session,) = there.gateway_state.sessions
    assert "The user refused the call" in json.dumps(session.timeline)
    there.keep_sessions()


@both_ways
async def test_a_session_in_an_unknown_state_is_closed(front: StartFront, stream: bool) -> None:
    there = await front(OLD)
    await there.ask("Hello", name="harbour")
    await there.post(CONFIRM, name="harbour", stream=stream)
    assert (await there.ask("And?", name="harbour")).finish_reason == "stop"
    assert [run.status for run in there.runs] == ["finished", "aborted", "finished"]
    there.keep_sessions()


# Approve


@on_both_wires
@both_ways
async def test_approve_lets_the_run_go_on(front: StartFront, stream: bool) -> None:
    there = await front(NEW, confirmations="approve")
    answer = await there.ask(CONFIRM, stream=stream)
    assert done(answer)
    assert (answer.finish_reason, answer.tool_calls) == ("stop", [])
    assert [each["confirmed"] for each in asked(there)] == [True]
    await there.at_rest()


@on_both_wires
async def test_approve_says_yes_to_every_question(front: StartFront) -> None:
    tick = Tick(
        (
            ScriptedToolCall("c1", "a", ("{}",), "1", confirm=True),
            ScriptedToolCall("c2", "b", ("{}",), "2", confirm=True),
        ),
        should_continue=True,
    )
    gateway = GatewaySettings(pace=0, recordings={"go": Script((tick, Tick((Say(("Done.",)),))))})
    there = await front(gateway, confirmations="approve")
    assert (await there.ask("go")).text == "Done."
    assert [(each["callId"], each["confirmed"]) for each in asked(there)] == [("c1", True), ("c2", True)]


@both_ways
@pytest.mark.parametrize("name", ["", "harbour"])
async def test_approve_on_a_gateway_that_cannot_be_answered_is_a_clear_error(
    front: StartFront, stream: bool, name: str
) -> None:
    there = await front(OLD, confirmations="approve")
    received = await there.post(CONFIRM, stream=stream, name=name)
    error = check_stream(received.body, include_usage=False).error if stream else check_error_body(received.body)
    assert error is not None
    assert error["code"] == "agent_unanswerable"
    assert "release" in error["message"]
    await there.until(lambda: there.runs[0].status == "aborted")
    assert (await there.ask("And?", name=name)).finish_reason == "stop"
    there.keep_sessions()


# Ask


@on_both_wires
@both_ways
async def test_ask_hands_the_question_to_the_client_as_a_call(front: StartFront, stream: bool) -> None:
    there = await front(NEW, **ASK)
    answer = await there.ask(CONFIRM, stream=stream)
    _, question = the_call(answer)
    assert question == {"message": "Allow danger to execute?", "tool": "danger", "arguments": {"x": 1}}
    assert there.runs[0].status == "running", "the run waits"
    await there.close_all_sessions()


YES = ["yes", "Yes.", "OK", "approved", '{"confirmed": true}', "true", '"yes"', '{"confirmed":true,"reason":"fine"}']
NO = ["no", "never", "", "yes, but not today", '{"confirmed": "yes"}', '{"confirmed": false}', "{}", "[true]", "1", "{"]


@on_both_wires
@pytest.mark.parametrize(("answer", "confirmed"), [*((each, True) for each in YES), *((each, False) for each in NO)])
async def test_what_the_client_may_say(front: StartFront, answer: str, confirmed: bool) -> None:
    """Everything that is no clear yes is a no."""
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    assert done(await chat.add(result(call_id, answer)))
    assert [each["confirmed"] for each in asked(there)] == [confirmed]
    await there.at_rest()


@on_both_wires
@both_ways
async def test_the_rest_of_the_run_is_the_answer(front: StartFront, stream: bool) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there, stream=stream)
    answer = await chat.add(result(call_id, "yes"))
    assert (answer.text, answer.finish_reason, answer.tool_calls) == ("It is over.", "stop", [])
    assert len(there.runs) == 1, "nothing was sent: the run that waited went on"
    assert there.runs[0].status == "finished"
    await there.at_rest()
    final = await chat.say("Thanks.")
    assert final.finish_reason == "stop"
    assert "called tool confirm_tool_call" in there.prompt(), "afterwards it is a part of the conversation"


@on_both_wires
async def test_a_reason_is_passed_on(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    await chat.add(result(call_id, '{"confirmed": false, "reason": "It is Sunday."}'))
    assert [(each["confirmed"], each["reason"]) for each in asked(there)] == [(False, "It is Sunday.")]


@on_both_wires
@both_ways
async def test_the_answer_may_come_in_through_another_worker(front: StartFront, stream: bool) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    other = await front(beside=there, **ASK)
    elsewhere = Chat(other, stream=stream)
    elsewhere.messages = chat.messages
    answer = await elsewhere.add(result(call_id, "yes"))
    assert (answer.text, answer.finish_reason) == ("It is over.", "stop")
    await there.at_rest()


@on_both_wires
@pytest.mark.parametrize("sessions", ["named", "recognise"])
async def test_a_question_in_a_lasting_session(front: StartFront, sessions: str) -> None:
    there = await front(NEW, **ASK, sessions="fresh" if sessions == "named" else sessions)
    chat = Chat(there, **({"name": "harbour"} if sessions == "named" else {}))
    await chat.say("Hello")
    call_id, _ = the_call(await chat.say(CONFIRM))
    assert done(await chat.add(result(call_id, "yes")))
    assert (await chat.say("Thanks.")).finish_reason == "stop"
    keys = [run.session_key for run in there.runs]
    assert len(set(keys)) == (1 if sessions == "named" else 2)
    there.keep_sessions()


@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_a_conversation_under_a_name_goes_on_where_it_was_asked(front: StartFront, answer: str) -> None:
    """The name has several sessions: with a system prompt, the conversation has a session of its own."""
    there = await front(NEW, **ASK)
    chat = Chat(there, name="harbour")
    chat.messages.append({"role": "system", "content": "Be brief."})
    await chat.say("Hello")
    call_id, _ = the_call(await chat.say(CONFIRM))
    await chat.add(result(call_id, answer))
    await chat.say("Thanks.")
    assert there.prompt() == "Thanks."
    assert len({run.session_key for run in there.runs}) == 1
    there.keep_sessions()


async def test_a_question_that_nobody_answers_is_no_session_for_ever(front: StartFront) -> None:
    there = await front(NEW, **ASK, confirmation_ttl=1)
    await there.ask([{"role": "system", "content": "Be brief."}, user(CONFIRM)], name="harbour")
    assert len(there.sessions) == 1
    await there.at_rest()
    assert there.sessions == []


@on_both_wires
async def test_one_question_after_the_other(front: StartFront) -> None:
    """Each is asked by itself, and the run goes on from answer to answer."""
    tick = Tick(
        (
            ScriptedToolCall("c1", "a", ("{}",), "1", confirm=True),
            ScriptedToolCall("c2", "b", ("{}",), "2", confirm=True),
        ),
        should_continue=True,
    )
    gateway = GatewaySettings(pace=0, recordings={"go": Script((tick, Tick((Say(("Done.",)),))))})
    there = await front(gateway, **ASK)
    chat = Chat(there)
    first, question = the_call(await chat.say("go"))
    assert question["tool"] == "a"
    second, question = the_call(await chat.add(result(first, "yes")))
    assert question["tool"] == "b"
    assert first != second
    assert (await chat.add(result(second, "no"))).text == "Done."
    assert [(each["callId"], each["confirmed"]) for each in asked(there)] == [("c1", True), ("c2", False)]
    await there.at_rest()


@on_both_wires
async def test_the_official_client_is_asked_and_answers(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    messages: list[Any] = [user(CONFIRM)]
    async with openai.AsyncOpenAI(base_url=f"{there.proxy.base}/v1", api_key="ada", max_retries=0) as client:
        question = (await client.chat.completions.create(model="demo", messages=messages)).choices[0].message
        assert question.tool_calls
        messages += [question, result(question.tool_calls[0].id, "yes")]
        final = await client.chat.completions.create(model="demo", messages=messages)
    assert final.choices[0].message.content == "It is over."


@on_both_wires
@both_ways
async def test_after_a_question_the_agent_may_still_call_the_clients_tool(front: StartFront, stream: bool) -> None:
    first = Tick((ScriptedToolCall("c1", "danger", ("{}",), "1", confirm=True),), should_continue=True)
    second = Tick(
        (ScriptedToolCall("c2", "tide", ('{"port":"Brest"}',), executed_by="client"),),
        stop_reason="tool_use",
        should_continue=True,
    )
    script = Script((first, second, Tick((Say(("Made up.",)),))))
    there = await front(GatewaySettings(pace=0, recordings={"go": script}), **ASK)
    chat = Chat(there, tools=[function("tide", port="string")], stream=stream)
    call_id, _ = the_call(await chat.say("go"))
    answer = await chat.add(result(call_id, "yes"))
    assert answer.tool_calls == [("c2", "tide", '{"port":"Brest"}')]
    assert "Made up" not in answer.text
    await there.at_rest()


# Who may answer, and when

FORGED = {
    "nothing": "confirm_",
    "no base64": "confirm_!!!",
    "rubbish": "confirm_" + base64.urlsafe_b64encode(b"x" * 64).decode(),
    "unsigned": "confirm_" + base64.urlsafe_b64encode(bytes(16) + b'["demo:x","c1",99999999999,false]').decode(),
}


async def refused(there: Front, chat: Chat, call_id: str, **how: Any) -> None:
    """The client gets the reason, and the agent gets no request."""
    messages = json.loads(json.dumps(chat.messages))
    messages[-1]["tool_calls"][0]["id"] = call_id
    received = await there.post([*messages, result(call_id, "yes")], **how)
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["param"]) == (400, "invalid_request_error", "messages")
    assert "confirmation" in error["message"]
    assert asked(there) == []
    assert there.runs[0].status == "running"


@on_both_wires
@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
async def test_a_forged_answer_is_refused(front: StartFront, token: str) -> None:
    there = await front(NEW, **ASK)
    chat, _ = await begin(there)
    await refused(there, chat, token)
    await there.close_all_sessions()


@on_both_wires
async def test_a_question_cannot_be_turned_into_another(front: StartFront) -> None:
    """Every changed byte breaks the signature."""
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    for place in itertools.islice(range(len("confirm_"), len(call_id)), 0, None, 7):
        letter = "A" if call_id[place] != "A" else "B"
        await refused(there, chat, call_id[:place] + letter + call_id[place + 1 :])
    await there.close_all_sessions()


@on_both_wires
async def test_another_caller_cannot_answer(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there, key="ada")
    for key in ("bob", "", "ada2"):
        await refused(there, chat, call_id, key=key)
    assert done(await chat.add(result(call_id, "yes")))


@on_both_wires
async def test_a_worker_with_another_secret_does_not_believe_it(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    other = await front(beside=there, **ASK, session_secret=("another",))
    await refused(other, chat, call_id)
    await there.close_all_sessions()


@on_both_wires
async def test_an_answer_may_come_too_late(front: StartFront, monkeypatch: pytest.MonkeyPatch) -> None:
    there = await front(NEW, **ASK, confirmation_ttl=60)
    chat, call_id = await begin(there)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 62)
    await refused(there, chat, call_id)
    monkeypatch.undo()
    assert done(await chat.add(result(call_id, "yes")))


@on_both_wires
async def test_a_question_that_nobody_answers_ends_with_its_time(front: StartFront) -> None:
    there = await front(NEW, **ASK, confirmation_ttl=1)
    await begin(there)
    await there.until(lambda: there.runs[0].status == "aborted", within=5)
    await there.at_rest()


@on_both_wires
async def test_a_second_answer_to_the_same_question_is_a_clear_error(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    chat, call_id = await begin(there)
    messages = [*chat.messages, result(call_id, "yes")]
    assert done(await there.ask(messages))
    received = await there.post(messages)
    error = check_error_body(received.body)
    assert (received.status, error["code"]) == (502, "agent_error")
    assert "does not wait" in error["message"]


@both_ways
@pytest.mark.parametrize("name", ["", "harbour"])
async def test_a_gateway_that_cannot_be_answered_ends_the_run(front: StartFront, stream: bool, name: str) -> None:
    there = await front(OLD, **ASK)
    for _ in range(2):
        received = await there.post(CONFIRM, stream=stream, name=name)
        error = check_stream(received.body, include_usage=False).error if stream else check_error_body(received.body)
        assert error is not None
        assert error["code"] == "agent_unanswerable"
        assert "release" in error["message"]
        await there.until(lambda: there.runs[-1].status == "aborted", within=5)
    assert (await there.ask("And?", name=name)).finish_reason == "stop"
    there.keep_sessions()


@on_both_wires
async def test_it_is_found_out_once_what_the_gateway_can(front: StartFront) -> None:
    there = await front(NEW, **ASK)
    for _ in range(3):
        await there.ask("Hello")
    assert len(tried(there)) == 1


def stalls(limit: int) -> GatewaySettings:
    """Bytes after which `/events` is silent, as in some releases."""
    return GatewaySettings(wire="0.14", pace=0, events_limit=limit)


@both_ways
@pytest.mark.parametrize(("name", "status", "code"), [("", 502, "agent_error"), ("harbour", 504, "upstream_timeout")])
async def test_a_gateway_that_stops_after_an_answer_is_an_error(
    front: StartFront, stream: bool, name: str, status: int, code: str
) -> None:
    """A session that was not kept is gone by then, with its run."""
    there = await front(stalls(1), **ASK, confirmation_wait=0.2)
    chat, call_id = await begin(there, name=name)
    received = await there.post([*chat.messages, result(call_id, "yes")], stream=stream, name=name)
    assert [each["confirmed"] for each in asked(there)] == [True]
    error = check_error_body(received.body)
    assert (received.status, error["code"]) == (status, code)
    assert "of the run" in error["message"]
    there.keep_sessions()
    await there.at_rest()


@both_ways
async def test_a_tool_may_take_longer_than_that(front: StartFront, stream: bool) -> None:
    """As long as the gateway says that the run goes on."""
    first = Tick((ScriptedToolCall("c1", "danger", ("{}",), "1", confirm=True),), should_continue=True)
    second = Tick((Pause(30), Say(("Done.",))))
    gateway = GatewaySettings(wire="0.14", recordings={"go": Script((first, second))})
    there = await front(gateway, **ASK, confirmation_wait=0.1)
    chat = Chat(there, stream=stream)
    call_id, _ = the_call(await chat.say("go"))
    assert (await chat.add(result(call_id, "yes"))).text == "Done."
    await there.at_rest()


# Who leaves


def slow_after_yes() -> GatewaySettings:
    first = Tick((ScriptedToolCall("c1", "danger", ("{}",), "1", confirm=True),), should_continue=True)
    words = tuple(f"word{number} " for number in range(200))
    return GatewaySettings(pace=0.004, recordings={"go": Script((first, Tick((Say(words),))))})


@on_both_wires
@both_ways
async def test_a_reader_that_leaves_the_rest_of_the_run_stops_it(front: StartFront, stream: bool) -> None:
    there = await front(slow_after_yes(), **ASK)
    chat = Chat(there)
    call_id, _ = the_call(await chat.say("go"))
    line = await there.line([*chat.messages, result(call_id, "yes")], stream=stream)
    await there.until(lambda: asked(there))
    if stream:
        await line.read_until(b"word3 ")
    await line.close()
    await there.until(lambda: there.runs[0].status == "aborted", within=2)
    await there.at_rest()


async def test_a_named_sessions_run_that_cannot_be_stopped_goes_on(front: StartFront, wire: str) -> None:
    there = await front(slow_after_yes(), **ASK)
    chat = Chat(there, name="harbour")
    call_id, _ = the_call(await chat.say("go"))
    line = await there.line([*chat.messages, result(call_id, "yes")], name="harbour")
    await line.read_until(b"word3 ")
    await line.close()
    assert (await there.ask("And?", name="harbour")).finish_reason == "stop"
    assert [run.status for run in there.runs] == ["aborted" if wire == "0.14" else "finished", "finished"]
    there.keep_sessions()


@on_both_wires
async def test_while_a_question_waits_nobody_else_gets_into_its_session(front: StartFront) -> None:
    there = await front(NEW, **ASK, session_wait=0)
    chat, call_id = await begin(there, name="harbour")
    assert await there.refused("Hello?", name="harbour") == (409, "session_busy")
    assert done(await chat.add(result(call_id, "yes")))
    there.keep_sessions()
