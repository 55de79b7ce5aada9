"""The agent's own tools by the Messages API: how they are shown, how long their results are, who confirms them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.message_parts import request
from tests.support.messages_conformance import MessageAnswer, check_message_body, check_message_stream
from tests.support.proxy import Proxy, StartProxy
from tests.support.proxy_harness import StartFront
from tests.support.scripted_gateway import OPENING, Agent, closing, frame, run, text, tool_call

pytest_plugins = ["tests.support.proxy_fixtures"]

MESSAGES = "/v1/messages"
OWN_TOOL = [
    *OPENING,
    text("Let me see."),
    *tool_call("c1", "add", '{"a":19,"b":23}'),
    frame("tool_result_start", callId="c1", name="add"),
    frame(
        "tool_result", callId="c1", name="add", result={"content": [{"type": "text", "text": "42" * 8}]}, isError=False
    ),
    frame("tick_end", tick=1, shouldContinue=True, stopReason="tool_use"),
    frame("tick_start", tick=2),
    *run("It is 42.")[2:],
]
both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(front: Proxy, *messages: dict[str, Any], stream: bool, **fields: Any) -> MessageAnswer:
    received = await front.post(request(*messages, stream=stream, **{"model": "default", **fields}), path=MESSAGES)
    assert received.status == 200, received.body
    return check_message_stream(received.body) if stream else check_message_body(received.body)


@both_ways
async def test_long_results_are_cut(agent: Agent, proxy: StartProxy, stream: bool) -> None:
    agent.plays(OWN_TOOL)
    answer = await ask(await proxy(tool_output_max=15), stream=stream)
    assert answer.agent_calls == [("add", '{"a": 19, "b": 23}', "424242424242424… (truncated)")]


@both_ways
@pytest.mark.parametrize("server_tools", ["hide", "reasoning", "content"])
async def test_a_tool_of_the_agents_is_shown_elsewhere(
    agent: Agent, proxy: StartProxy, server_tools: str, stream: bool
) -> None:
    agent.plays(OWN_TOOL)
    answer = await ask(await proxy(server_tools=server_tools), stream=stream)
    assert (answer.agent_calls, answer.calls) == ([], [])
    assert answer.text.endswith("It is 42.")
    assert ("add" in answer.thinking) is (server_tools == "reasoning")
    assert ("add" in answer.text) is (server_tools == "content")


@both_ways
async def test_a_person_confirms_a_tool(front: StartFront, stream: bool) -> None:
    """The question is a call of the client's, its result the answer; the run goes on from there."""
    there = await front(GatewaySettings(release="924f879", pace=0), confirmations="ask")
    question = {"role": "user", "content": "[[scenario:confirm]]"}
    asked = await ask(there.proxy, question, stream=stream)
    ((call_id, name, arguments),) = asked.calls
    assert (name, asked.stop_reason) == ("confirm_tool_call", "tool_use")
    assert "danger" in json.dumps(arguments)
    result = {"type": "tool_result", "tool_use_id": call_id, "content": '{"confirmed": true}'}
    answer = await ask(
        there.proxy,
        question,
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [result]},
        stream=stream,
    )
    assert "It is over." in answer.text
    assert len(there.runs) == 1


async def test_dozens_of_counts_beside_a_run_cost_nothing(agent: Agent, proxy: StartProxy) -> None:
    """Claude Code's `/context` sends that many at once."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(max_runs=1, max_waiting=0, requests_per_minute=1)
    running = asyncio.create_task(ask(front, stream=True))
    await agent.until(lambda: agent.runs)
    counted = await asyncio.gather(*(front.post(request(), path=f"{MESSAGES}/count_tokens") for _ in range(48)))
    assert {each.status for each in counted} == {200}
    assert {each.headers["x-oaicompat-estimate"] for each in counted} == {"true"}
    gate.set()
    assert (await running).text == "Hello"
    assert len(agent.runs) == 1
