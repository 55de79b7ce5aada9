"""A tool of the agent's that waits for a human, as an approval request of the Responses API.

`danger` is the demo's tool that asks first.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.pipeline.comparison import compare
from tests.support.conformance import check_error_body
from tests.support.proxy import Received, StartProxy
from tests.support.proxy_harness import Front, RedisServer, StartFront
from tests.support.recordings import first_recording, recordings
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream
from tests.support.scripted_gateway import Agent, Exchange, Reply

pytest_plugins = ["tests.support.proxy_fixtures"]

CONFIRM = "[[scenario:confirm]]"
NEW = GatewaySettings(release="924f879", pace=0)
SERVER = {"type": "mcp", "server_label": "demo", "server_url": "http://example.org", "require_approval": "always"}

both_ways = pytest.mark.parametrize("stream", [True, False])


async def post(there: Front, given: Any, *, stream: bool, key: str = "", **fields: Any) -> Received:
    body = json.dumps({"model": "demo", "input": given, "stream": stream, "tools": [SERVER], **fields}).encode()
    headers = {"Authorization": f"Bearer {key}"} if key else None
    return await there.proxy.post(body, path="/v1/responses", headers=headers)


async def ask(there: Front, given: Any, *, stream: bool, **fields: Any) -> ResponseAnswer:
    received = await post(there, given, stream=stream, **fields)
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


def approval(question: str, *, approve: bool = True) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": question, "approve": approve}


def question_of(answer: ResponseAnswer) -> str:
    (request,) = answer.approvals
    assert (request["name"], request["server_label"], answer.calls) == ("danger", "demo", [])
    return str(request["id"])


def confirmed(there: Front) -> list[bool]:
    """The confirmation requests to the gateway for the tool."""
    bodies = [json.loads(body) for path, body in there.gateway_state.requests if path == "/invoke"]
    calls = [body["params"] for body in bodies if body["method"] == "tool-confirm"]
    return [call["confirmed"] for call in calls if not call["sessionId"].startswith("unknown-")]


@both_ways
@pytest.mark.parametrize("approve", [True, False])
async def test_a_full_round(front: StartFront, stream: bool, approve: bool) -> None:
    there = await front(NEW, confirmations="ask")
    first = await ask(there, CONFIRM, stream=stream)
    question = question_of(first)
    items = [{"role": "user", "content": CONFIRM}, *first.response["output"], approval(question, approve=approve)]
    second = await ask(there, items, stream=stream)
    assert "It is over." in second.text
    if approve:
        (call,) = second.agent_calls
        assert (call["name"], call["approval_request_id"]) == ("danger", question)
        assert json.loads(call["arguments"]) == {"x": 1}
    assert confirmed(there) == [approve]
    assert len(there.runs) == 1, "the very run that waited goes on"
    await there.at_rest()


async def test_a_round_by_the_previous_response(front: StartFront) -> None:
    there = await front(NEW, confirmations="ask")
    first = await ask(there, CONFIRM, stream=True)
    second = await ask(there, [approval(question_of(first))], stream=True, previous_response_id=first.id)
    assert "It is over." in second.text
    assert confirmed(there) == [True]
    await there.at_rest()


async def test_a_round_by_reference(front: StartFront) -> None:
    """As the AI SDK sends it."""
    there = await front(NEW, confirmations="ask")
    first = await ask(there, CONFIRM, stream=True)
    question = question_of(first)
    items = [{"role": "user", "content": CONFIRM}, {"type": "item_reference", "id": question}, approval(question)]
    assert "It is over." in (await ask(there, items, stream=True)).text
    await there.at_rest()


async def test_a_question_is_answered_once_and_by_its_own_client(front: StartFront) -> None:
    there = await front(NEW, confirmations="ask", api_key=("alice", "bob"))
    first = check_response_stream((await post(there, CONFIRM, stream=True, key="alice")).body)
    items = [{"role": "user", "content": CONFIRM}, *first.response["output"], approval(question_of(first))]
    assert (await post(there, items, stream=True, key="bob")).status == 400
    assert confirmed(there) == []
    assert (await post(there, items, stream=True, key="alice")).status == 200
    again = await post(there, items, stream=True, key="alice")
    assert again.status >= 400
    check_error_body(again.body)
    assert len(there.runs) == 1
    await there.at_rest()


@both_ways
@pytest.mark.parametrize("how", ["items", "previous response", "reference"])
async def test_any_worker_takes_the_answer(
    front: StartFront, redis_server: RedisServer, stream: bool, how: str
) -> None:
    shared = {"confirmations": "ask", "redis": redis_server.url}
    there = await front(NEW, **shared)
    other = await front(beside=there, **shared)
    first = await ask(there, CONFIRM, stream=True, store=True)
    question, answer = question_of(first), {"role": "user", "content": CONFIRM}
    reply = approval(question)
    given, more = {
        "items": ([answer, *first.response["output"], reply], {}),
        "previous response": ([reply], {"previous_response_id": first.id}),
        "reference": ([answer, {"type": "item_reference", "id": question}, reply], {}),
    }[how]
    assert "It is over." in (await ask(other, given, stream=stream, **more)).text
    assert (await post(there, given, stream=stream, **more)).status >= 400, "once"
    assert len(there.runs) == 1
    await there.at_rest()


async def test_a_client_that_declares_no_such_server_is_asked_by_a_call(front: StartFront) -> None:
    there = await front(NEW, confirmations="ask")
    first = await ask(there, CONFIRM, stream=True, tools=[])
    ((call_id, name, _),) = first.calls
    assert name == "confirm_tool_call"
    result = {"type": "function_call_output", "call_id": call_id, "output": '{"confirmed": true}'}
    items = [{"role": "user", "content": CONFIRM}, *first.response["output"], result]
    assert "It is over." in (await ask(there, items, stream=True, tools=[])).text
    await there.at_rest()


def asks_for_a_port(exchange: Exchange) -> Reply:
    """An AG-UI run that waits for words, and the run that gets them."""
    ids = {"threadId": exchange.json["threadId"], "runId": exchange.json["runId"]}
    interrupt = {"id": "i1", "reason": "input", "message": "Which port?", "responseSchema": {"type": "string"}}
    says: dict[str, Any] = {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "High tide."}
    asks = {"type": "RUN_FINISHED", **ids, "outcome": {"type": "interrupt", "interrupts": [interrupt]}}
    rest = [says, {"type": "RUN_FINISHED", **ids}] if exchange.json.get("resume") else [asks]
    events = [{"type": "RUN_STARTED", **ids}, *rest]
    return Reply([b"data: " + json.dumps(each).encode() + b"\n\n" for each in events])


@both_ways
async def test_a_question_that_needs_words_is_a_call(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """An approval request has no place for the question, and an approval none for the answer."""
    agent.replies("/agent", asks_for_a_port)
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/agent", confirmations="ask")
    label = {**SERVER, "server_label": "default"}

    async def ask_agent(given: Any, **fields: Any) -> ResponseAnswer:
        body = json.dumps({"input": given, "stream": stream, "tools": [label], **fields}).encode()
        received = await front.post(body, path="/v1/responses")
        return check_response_stream(received.body) if stream else check_response_body(received.body)

    first = await ask_agent("Hi")
    ((call_id, name, arguments),) = first.calls
    assert (name, first.approvals) == ("confirm_tool_call", [])
    assert "Which port?" in arguments
    result = {"type": "function_call_output", "call_id": call_id, "output": "Brest"}
    assert (await ask_agent([result], previous_response_id=first.id)).text == "High tide."
    assert agent.exchanges[-1].json["resume"] == [{"interruptId": "i1", "status": "resolved", "payload": "Brest"}]


async def test_nothing_is_asked_where_everything_is_denied(front: StartFront) -> None:
    there = await front(NEW)
    answer = check_response_stream((await post(there, CONFIRM, stream=True)).body)
    assert answer.status == "failed"
    assert answer.error is not None
    assert "danger" in answer.error["message"]
    await there.at_rest()


@both_ways
@pytest.mark.parametrize("raw", [True, False])
async def test_a_recording_replays_to_what_was_sent(front: StartFront, stream: bool, raw: bool, tmp_path: Path) -> None:
    there = await front(NEW, confirmations="ask", record=str(tmp_path), record_raw=raw)
    first = await ask(there, CONFIRM, stream=stream, instructions="Be brief.")
    assert compare(await first_recording(tmp_path)) == []
    items = [{"role": "user", "content": CONFIRM}, *first.response["output"], approval(question_of(first))]
    await ask(there, items, stream=stream)
    async with asyncio.timeout(10):
        while sum(bool(each.bytes_of("end")) for each in recordings(tmp_path)) < 2:  # noqa: ASYNC110 -- a file
            await asyncio.sleep(0.01)
    assert [compare(each) for each in recordings(tmp_path)] == [[], []]
    await there.at_rest()
