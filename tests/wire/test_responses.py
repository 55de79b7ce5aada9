"""`POST /v1/responses` on a socket: the official client, the cases of Open Responses, errors, sessions, limits."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream
from tests.support.scripted_gateway import Agent, Reply, answer, failure, frame, run, text, tool_call

RESPONSES = "/v1/responses"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "description": "x", "strict": False}
IMAGE = base64.b64encode(b"not really a picture").decode()

both_ways = pytest.mark.parametrize("stream", [True, False])


async def post(front: Proxy, given: Any = "Hi", **fields: Any) -> Received:
    body = json.dumps({"model": "owl", "input": given, **fields}).encode()
    return await front.post(body, path=RESPONSES)


async def ask(front: Proxy, given: Any = "Hi", *, stream: bool, **fields: Any) -> ResponseAnswer:
    received = await post(front, given, stream=stream, **fields)
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


@pytest.fixture
async def front(agent: Agent, proxy: StartProxy) -> Proxy:
    agent.plays(run("Hello", " there"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    return await proxy()


@pytest.fixture
async def client(front: Proxy) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{front.base}/v1", api_key="any", max_retries=0) as client:
        yield client


# The official client


async def test_create(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="owl", input="Hi")
    assert (response.output_text, response.status) == ("Hello there", "completed")
    assert response.usage is not None
    assert response.usage.total_tokens == 18


async def test_create_streamed(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="owl", input="Hi", stream=True)
    deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert deltas == ["Hello", " there"]


async def test_the_stream_helper(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="owl", input="Hi") as stream:
        async for _ in stream:
            pass
        assert (await stream.get_final_response()).output_text == "Hello there"


async def test_parse(agent: Agent, client: AsyncOpenAI) -> None:
    class Weather(BaseModel):
        city: str

    agent.plays(run('{"city":', '"Brest"}'))
    response = await client.responses.parse(model="owl", input="Hi", text_format=Weather)
    assert response.output_parsed == Weather(city="Brest")


async def test_the_helper_lives_through_keep_alives(agent: Agent, proxy: StartProxy) -> None:
    going_on = asyncio.Event()
    agent.plays(*run("Hello")[:4], going_on, *run(" there")[3:])
    front = await proxy(keep_alive=0.05)
    async with AsyncOpenAI(base_url=f"{front.base}/v1", api_key="any", max_retries=0) as client:
        seen = 0
        async with client.responses.stream(model="owl", input="Hi") as stream:
            async for event in stream:
                seen += event.type == "response.output_text.delta" and event.delta == ""
                if seen == 2:
                    going_on.set()
            assert (await stream.get_final_response()).output_text == "Hello there"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_raises(agent: Agent, client: AsyncOpenAI, stream: bool) -> None:
    agent.replies("/send", Reply([failure("rate limit")]))
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="owl", input="Hi", stream=stream)


async def test_a_failure_behind_the_first_words_raises(agent: Agent, client: AsyncOpenAI) -> None:
    agent.plays(*run("Half")[:4], failure("the model broke"))
    with pytest.raises(openai.APIError, match="broke"):
        async for _ in await client.responses.create(model="owl", input="Hi", stream=True):
            pass


# The cases of Open Responses


@both_ways
async def test_basic_text(front: Proxy, stream: bool) -> None:
    answer = await ask(front, [{"type": "message", "role": "user", "content": "Say hello."}], stream=stream)
    assert (answer.text, answer.status, answer.model) == ("Hello there", "completed", "owl")


async def test_system_prompt(agent: Agent, front: Proxy) -> None:
    items = [{"type": "message", "role": "system", "content": "Be a pirate."}, {"role": "user", "content": "Hi"}]
    await ask(front, items, stream=False)
    assert "Be a pirate." in json.dumps(agent.exchanges[-1].json)


@both_ways
async def test_tool_call(agent: Agent, front: Proxy, stream: bool) -> None:
    agent.plays(*run("One moment.")[:4], *tool_call("call_1", "weather", '{"city":"Brest"}'))
    answer = await ask(front, stream=stream, tools=[TOOL])
    assert (answer.text, answer.calls) == ("One moment.", [("call_1", "weather", '{"city":"Brest"}')])
    assert answer.status == "completed"
    assert answer.response["tools"] == [TOOL]


async def test_image_input(agent: Agent, front: Proxy) -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"},
    ]
    await ask(front, [{"role": "user", "content": parts}], stream=False)
    assert IMAGE in json.dumps(agent.exchanges[-1].json)


async def test_several_turns(agent: Agent, front: Proxy) -> None:
    items = [
        {"type": "message", "role": "user", "content": "My name is Alice."},
        {"type": "message", "role": "assistant", "content": "Hello Alice!"},
        {"type": "message", "role": "user", "content": "What is my name?"},
    ]
    await ask(front, items, stream=False)
    assert "Hello Alice!" in json.dumps(agent.exchanges[-1].json)


# What the agent does by itself

OWN_TOOL = [
    *run("Let me see.")[:4],
    *tool_call("c1", "add", '{"a":19,"b":23}'),
    frame("tool_result_start", callId="c1", name="add"),
    frame("tool_result", callId="c1", name="add", result={"content": [{"type": "text", "text": "42"}]}, isError=False),
    frame("tick_end", tick=1, shouldContinue=True, stopReason="tool_use"),
    frame("tick_start", tick=2),
    *run("It is 42.")[2:],
]


@both_ways
async def test_a_tool_of_the_agents_is_an_mcp_call(agent: Agent, front: Proxy, stream: bool) -> None:
    agent.plays(OWN_TOOL)
    answer = await ask(front, stream=stream)
    assert answer.text == "Let me see.\n\nIt is 42."
    assert answer.calls == []
    (call,) = answer.agent_calls
    assert (call["name"], call["server_label"], call["output"]) == ("add", "owl", "42")
    assert json.loads(call["arguments"]) == {"a": 19, "b": 23}
    kinds = [item["type"] for item in answer.response["output"]]
    assert kinds == ["message", "mcp_call", "message"]
    await ask(
        front,
        [{"role": "user", "content": "Hi"}, *answer.response["output"], {"role": "user", "content": "?"}],
        stream=stream,
    )
    assert "42" in json.dumps(agent.exchanges[-1].json)
    assert "23" not in json.dumps(agent.exchanges[-1].json["message"]["content"]), "the agent knows what it did"


async def test_long_results_are_cut(agent: Agent, proxy: StartProxy) -> None:
    agent.plays(OWN_TOOL)
    (call,) = (await ask(await proxy(tool_output_max=1), stream=True)).agent_calls
    assert call["output"] == "4… (truncated)"


@pytest.mark.parametrize("server_tools", ["hide", "reasoning"])
async def test_a_tool_of_the_agents_is_shown_elsewhere(agent: Agent, proxy: StartProxy, server_tools: str) -> None:
    agent.plays(OWN_TOOL)
    answer = await ask(await proxy(server_tools=server_tools), stream=True)
    assert answer.agent_calls == []
    assert ("add" in answer.reasoning) == (server_tools == "reasoning")


async def test_chat_hides_the_tools_of_the_agent_by_default(agent: Agent, front: Proxy) -> None:
    agent.plays(OWN_TOOL)
    answer = check_stream((await front.chat()).body, include_usage=False)
    assert (answer.text, answer.reasoning, answer.tool_calls) == ("Let me see.\n\nIt is 42.", "", [])


# What goes wrong


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": []}, 400, "input"),
        ({"input": [{"type": "thought"}]}, 400, "input[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, 400, "input[0].call_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "input[0].id"),
        ({"background": True, "store": False}, 400, "background"),
        ({"conversation": "conv_1"}, 404, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, 400, "prompt"),
    ],
)
async def test_bad_requests_run_nothing(
    agent: Agent, front: Proxy, fields: dict[str, Any], status: int, param: str
) -> None:
    others = {name: value for name, value in fields.items() if name != "input"}
    received = await post(front, fields.get("input", "Hi"), **others)
    assert (received.status, check_error_body(received.body)["param"]) == (status, param)
    assert not [exchange for exchange in agent.exchanges if exchange.is_run]


async def test_tools_that_nobody_knows_are_passed_on(agent: Agent, front: Proxy) -> None:
    tools = [{"type": "namespace", "name": "x", "tools": []}, {"type": "web_search"}]
    answer = await ask(front, stream=True, tools=tools, client_metadata={"turn_id": "1"})
    assert answer.response["tools"] == tools
    assert agent.exchanges[-1].json["message"]["metadata"]["openai"]["tools"] == tools


@both_ways
async def test_an_answer_that_was_cut(agent: Agent, front: Proxy, stream: bool) -> None:
    agent.plays(run("Once upon", stop="max_tokens"))
    answer = await ask(front, stream=stream)
    assert (answer.status, answer.incomplete_reason, answer.text) == ("incomplete", "max_output_tokens", "Once upon")


async def test_a_stream_that_breaks_ends_with_its_failure(agent: Agent, front: Proxy) -> None:
    agent.plays(*run("Half")[:4], "cut")
    answer = await ask(front, stream=True)
    assert answer.status == "failed"
    assert answer.error is not None
    assert answer.error["message"]


async def test_a_slow_agent_is_waited_for(agent: Agent, proxy: StartProxy) -> None:
    going_on = asyncio.Event()
    agent.plays(frame("execution_start", executionId="e1"), going_on, run("Hello"))
    front = await proxy(first_event_wait=0.05, keep_alive=0.05)
    line = await front.dial()
    await line.post(json.dumps({"model": "owl", "input": "Hi", "stream": True}).encode(), path=RESPONSES)
    status, _ = await line.read_head()
    assert status == 200
    opening = await line.read_until(b"response.in_progress")
    await line.read_until(b'data: {"type":"response.in_progress"')
    await line.read_until(b'data: {"type":"response.in_progress"')  # the first keep-alive
    going_on.set()
    rest = await line.read_until(b"event: response.completed")
    assert b"Hello" in rest
    assert b"response.created" in opening


async def test_text_of_another_form_is_one_and_the_same(agent: Agent, front: Proxy) -> None:
    agent.plays([*run()[:3], text("a\u2028b"), text("\\"), *run("🌊")[3:]])
    assert (await ask(front, stream=True)).text == (await ask(front, stream=False)).text == "a\u2028b\\🌊"


# What a request may refer to


@both_ways
async def test_a_request_goes_on_from_the_previous_response(agent: Agent, front: Proxy, stream: bool) -> None:
    first = await ask(front, "My name is Alice.", stream=stream)
    answer = await ask(front, "What is my name?", stream=stream, previous_response_id=first.id)
    assert agent.runs[-1].session == agent.runs[0].session
    assert answer.response["previous_response_id"] == first.id
    fork = await ask(front, "And now?", stream=stream, previous_response_id=first.id)
    sent = json.dumps(agent.exchanges[-1].json)
    assert "My name is Alice." in sent
    assert "Hello there" in sent
    assert fork.text == "Hello there"


@both_ways
async def test_an_item_stands_in_place_of_its_reference(agent: Agent, front: Proxy, stream: bool) -> None:
    first = await ask(front, stream=stream)
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "item_reference", "id": first.response["output"][0]["id"]},
        {"role": "user", "content": "Again"},
    ]
    await ask(front, items, stream=stream)
    assert "Hello there" in json.dumps(agent.exchanges[-1].json)


async def test_outputs_of_tools_go_on_from_the_previous_response(agent: Agent, front: Proxy) -> None:
    agent.plays(*run()[:3], *tool_call("call_1", "weather", '{"city":"Brest"}'))
    first = await ask(front, stream=True, tools=[TOOL])
    agent.plays(run("Sunny."))
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    answer = await ask(front, [result], stream=True, tools=[TOOL], previous_response_id=first.id)
    assert answer.text == "Sunny."
    assert (await post(front, [result])).status == 400


async def test_what_is_not_stored_cannot_be_referred_to(front: Proxy, proxy: StartProxy) -> None:
    async def refused(there: Proxy, response_id: str) -> tuple[int, Any]:
        received = await post(there, previous_response_id=response_id)
        return received.status, check_error_body(received.body)["code"]

    unknown = (400, "previous_response_not_found")
    assert await refused(front, "resp_unknown") == unknown
    unstored = await ask(front, stream=False, store=False)
    assert unstored.response["store"] is False
    assert await refused(front, unstored.id) == unknown
    stateless = await proxy(responses="stateless")
    forgotten = await ask(stateless, stream=True)
    assert forgotten.response["store"] is False
    assert await refused(stateless, forgotten.id) == unknown


async def test_another_key_cannot_refer_to_it(agent: Agent, proxy: StartProxy) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("alice", "bob"))

    async def post_as(key: str, **fields: Any) -> Received:
        body = json.dumps({"model": "owl", "input": "Hi", **fields}).encode()
        return await front.post(body, path=RESPONSES, headers={"Authorization": f"Bearer {key}"})

    answered = check_response_body((await post_as("alice")).body)
    assert (await post_as("alice", previous_response_id=answered.id)).status == 200
    assert (await post_as("bob", previous_response_id=answered.id)).status == 400


@both_ways
async def test_a_call_without_arguments_has_an_empty_object(agent: Agent, front: Proxy, stream: bool) -> None:
    silent = [each for each in tool_call("call_1", "weather", "{}") if b"tool_call_delta" not in each]
    agent.plays(*run()[:3], *silent)
    assert (await ask(front, stream=stream, tools=[TOOL])).calls == [("call_1", "weather", "{}")]
