"""Ids on their way to a client and back: by this caller, to this question, and no other."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from oaicompat_proxy.core.errors import AgentError, InvalidRequest
from oaicompat_proxy.core.message import Message, Text, ToolCall
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.server.sessions.call_ids import AnswerIds, CallIds
from oaicompat_proxy.server.sessions.id_store import MemoryIds
from oaicompat_proxy.translation.confirmations import Confirmation
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import Agent, Reply, closing, frame, run

KEYS = SigningKeys(Secrets([b"secret"]))
LONG, ODD = "call_" + "x" * 60, "functions.tide:0"
EVERY_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,40}")


def ids_of(scope: str = "ada", keys: SigningKeys = KEYS) -> tuple[CallIds, AnswerIds]:
    ids = CallIds(keys, MemoryIds())
    return ids, ids.of_answer(scope, "owl", lambda: ("demo:oc-1", False), ttl=60)


def result_of(token: str) -> Message:
    return Message("tool", (Text("yes"),), tool_call_id=token)


async def test_an_id_comes_back_as_the_agents_own_and_only_for_its_caller() -> None:
    ids, answer = ids_of()
    shorts = [answer.shorten(each) for each in (LONG, ODD, "c1")]
    assert shorts[2] == "c1"
    assert all(map(EVERY_CLIENT.fullmatch, shorts))
    messages = [Message("assistant", (), tool_calls=tuple(ToolCall(each, "tide", "{}") for each in shorts))]
    (mine,) = await ids.restore(messages, "ada")
    assert [call.id for call in mine.tool_calls] == [LONG, ODD, "c1"]
    (others,) = await ids.restore(messages, "bob")
    assert [call.id for call in others.tool_calls] == shorts


async def test_a_question_is_answered_by_whom_it_was_asked_and_with_its_model() -> None:
    ids, answer = ids_of()
    token = answer.ask(LONG)
    assert EVERY_CLIENT.fullmatch(token)
    confirmation = await ids.read_confirmation(result_of(token), "ada", "owl")
    assert isinstance(confirmation, Confirmation)
    assert (confirmation.question.session, confirmation.question.call_id) == ("demo:oc-1", LONG)
    for scope, model in (("bob", "owl"), ("ada", "crow")):
        with pytest.raises(InvalidRequest, match="confirmation"):
            await ids.read_confirmation(result_of(token), scope, model)
    elsewhere, _ = ids_of(keys=SigningKeys(Secrets([b"other"])))
    with pytest.raises(InvalidRequest):
        await elsewhere.read_confirmation(result_of(token), "ada", "owl")


@pytest.mark.parametrize(
    "change", [lambda token: token[:20], lambda token: token + "A", lambda token: "confirm_" + "A" * 32]
)
async def test_what_was_not_asked_is_refused(change: Any) -> None:
    ids, answer = ids_of()
    with pytest.raises(InvalidRequest) as refusal:
        await ids.read_confirmation(result_of(change(answer.ask("c1"))), "ada", "owl")
    assert (refusal.value.param, refusal.value.code) == ("messages", "confirmation_unknown")


async def test_an_answer_may_come_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, answer = ids_of()
    token, now = answer.ask("c1"), time.time()
    for later in (60.9, 70):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        with pytest.raises(InvalidRequest, match="confirmation"):
            await ids.read_confirmation(result_of(token), "ada", "owl")


async def test_a_question_that_cannot_be_kept_is_not_asked() -> None:
    _, answer = ids_of()
    with pytest.raises(AgentError):
        answer.ask("x" * 40_000)


# Socket to socket

TIDE = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]


def calls(*call_ids: str) -> Reply:
    frames = [frame("tool_call", callId=each, blockIndex=0, name="tide", input={"port": "Brest"}) for each in call_ids]
    return Reply([*run()[:3], *frames, *closing(stop="tool_use")])


@pytest.mark.parametrize("stream", [True, False])
async def test_the_client_gets_short_ids_and_the_agent_its_own(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    front = await proxy()
    agent.replies("/send", calls(LONG, ODD, "c1"))
    received = await front.chat(stream=stream, tools=TIDE)
    answer = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
    ids = [call[0] for call in answer.tool_calls]
    assert all(map(EVERY_CLIENT.fullmatch, ids))
    assert len(set(ids)) == 3
    assert ids[2] == "c1"
    agent.plays(run("High at six."))
    made = [{"id": each, "type": "function", "function": {"name": "tide", "arguments": "{}"}} for each in ids]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": made}]
    messages += [{"role": "tool", "tool_call_id": each, "content": "06:12"} for each in ids]
    assert (await front.chat(messages=messages, tools=TIDE)).status == 200
    request = json.dumps(agent.runs[-1].json)
    assert all(each in request for each in (LONG, ODD, "c1"))
    assert not any(each in request for each in ids[:2])


@pytest.mark.parametrize("confirmations", ["ask", "deny", "approve"])
@pytest.mark.parametrize("call_id", ["confirm_" + "A" * 32, "confirm_cut", "call_made_up"])
async def test_a_result_of_an_unknown_question_never_begins_a_run(
    proxy: StartProxy, agent: Agent, confirmations: str, call_id: str
) -> None:
    front = await proxy(confirmations=confirmations)
    call = {"id": call_id, "type": "function", "function": {"name": "confirm_tool_call", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Launch."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "yes"},
    ]
    received = await front.chat(messages=messages)
    assert received.status == 400
    assert check_error_body(received.body)["code"] == "confirmation_unknown"
    assert agent.exchanges == []


async def test_a_conversation_goes_on_after_it(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy()
    agent.plays(run("Well."))
    call = {"id": "confirm_old", "type": "function", "function": {"name": "confirm_tool_call", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "confirm_old", "content": "yes"},
        {"role": "assistant", "content": "It is over."},
        {"role": "user", "content": "Thanks."},
    ]
    assert (await front.post(chat_body(messages=messages))).status == 200
