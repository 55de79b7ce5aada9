"""`POST /v1/messages` on a socket: the official client, errors, keys, tools of both sides."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.support.message_parts import request
from tests.support.messages_conformance import (
    MessageAnswer,
    check_message_body,
    check_message_error,
    check_message_stream,
)
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, answer, failure, run, text, tool_call

MESSAGES = "/v1/messages"
TOOL = {"name": "weather", "input_schema": {"type": "object"}}
ASK: dict[str, Any] = {"model": "owl", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}

both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(front: Proxy, *messages: dict[str, Any], stream: bool, **fields: Any) -> MessageAnswer:
    received = await front.post(request(*messages, stream=stream, **fields), path=MESSAGES)
    assert received.status == 200, received.body
    return check_message_stream(received.body) if stream else check_message_body(received.body)


@pytest.fixture
async def front(agent: Agent, proxy: StartProxy) -> Proxy:
    agent.plays(run("Hello", " there"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    return await proxy()


@pytest.fixture
async def client(front: Proxy) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=front.base, api_key="any", max_retries=0) as client:
        yield client


@both_ways
async def test_an_answer(front: Proxy, stream: bool) -> None:
    answer = await ask(front, stream=stream)
    assert (answer.text, answer.stop_reason, answer.model) == ("Hello there", "end_turn", "owl")
    assert answer.id.startswith("msg_")


async def test_the_official_client(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**ASK)
    assert [block.text for block in message.content if block.type == "text"] == ["Hello there"]
    async with client.messages.stream(**ASK) as stream:
        assert [piece async for piece in stream.text_stream] == ["Hello", " there"]
        assert (await stream.get_final_message()).usage.output_tokens == message.usage.output_tokens


async def test_a_request_id(front: Proxy) -> None:
    """In the header of every answer, and in the body of an error."""
    mine = {"x-request-id": "mine"}
    received = await front.post(request(), path=MESSAGES, headers=mine)
    assert received.headers["request-id"] == "mine"
    refused = await front.post(b"{}", path=MESSAGES, headers=mine)
    assert (refused.status, refused.headers["request-id"]) == (400, "mine")
    assert json.loads(refused.body)["request_id"] == "mine"
    front_error = await front.post(b"no JSON", path=MESSAGES)
    assert json.loads(front_error.body)["request_id"] == front_error.headers["request-id"]


@both_ways
async def test_the_clients_tool(agent: Agent, front: Proxy, stream: bool) -> None:
    agent.plays(tool_call("c1", "weather", '{"city":"Brest"}'))
    answer = await ask(front, stream=stream, tools=[TOOL])
    assert answer.stop_reason == "tool_use"
    ((call_id, name, arguments),) = answer.calls
    assert (name, arguments) == ("weather", {"city": "Brest"})
    agent.plays(run("Rain."))
    rounds: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "rain"}]},
    ]
    assert (await ask(front, *rounds, stream=stream, tools=[TOOL])).text == "Rain."


async def test_errors_have_anthropics_form(agent: Agent, front: Proxy) -> None:
    def error(received: Received) -> tuple[int, str]:
        return received.status, check_message_error(received.body)["type"]

    assert error(await front.post(b"{}", path=MESSAGES)) == (400, "invalid_request_error")
    assert error(await front.post(b"{}", path=f"{MESSAGES}/batches")) == (404, "not_found_error")
    assert error(await front.request("GET", MESSAGES)) == (405, "invalid_request_error")
    agent.plays([failure("no")])
    failed = await front.post(request(), path=MESSAGES)
    assert error(failed) == (502, "api_error")
    assert failed.headers["x-should-retry"] == "false"


async def test_a_failure_in_mid_answer_is_an_error_event(agent: Agent, client: AsyncAnthropic) -> None:
    agent.plays([*OPENING, text("Hel"), failure("no")])
    async with client.messages.stream(**ASK) as stream:
        with pytest.raises(anthropic.APIStatusError, match="no"):
            await stream.until_done()


async def test_keys_in_both_headers(agent: Agent, proxy: StartProxy) -> None:
    agent.plays(run("Hi"))
    front = await proxy(api_key=("right",))
    for headers in ({"x-api-key": "right"}, {"Authorization": "Bearer right"}):
        assert (await front.post(request(model="default"), path=MESSAGES, headers=headers)).status == 200
    wrong = await front.post(request(), path=MESSAGES, headers={"x-api-key": "wrong"})
    assert (wrong.status, check_message_error(wrong.body)["type"]) == (401, "authentication_error")


async def test_tokens_are_estimated_without_a_run(agent: Agent, client: AsyncAnthropic) -> None:
    counted = await client.messages.with_raw_response.count_tokens(model="owl", messages=ASK["messages"])
    assert counted.headers["x-oaicompat-estimate"] == "true"
    assert (await counted.parse()).input_tokens > 0
    assert agent.runs == []


async def test_tokens_of_an_unknown_model_are_not_counted(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    front = await proxy(model={"lark": "owl", "gull-*": "owl"})
    statuses: dict[str, int] = {}
    for model in ("owl", "lark", "default", "gull-2", "crow", "!"):
        counted = await front.post(request(model=model), path=f"{MESSAGES}/count_tokens")
        statuses[model] = counted.status
    assert statuses == {"owl": 200, "lark": 200, "default": 200, "gull-2": 200, "crow": 404, "!": 404}
    assert check_message_error(counted.body)["type"] == "not_found_error"


async def test_tokens_are_counted_while_the_gateway_lists_no_models(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/invoke", answer({"error": "no"}, 500))
    front = await proxy()
    assert (await front.post(request(model="crow"), path=f"{MESSAGES}/count_tokens")).status == 200


async def test_tokens_are_counted_beyond_the_limit_of_requests(agent: Agent, proxy: StartProxy) -> None:
    agent.plays(run("Hi"))
    front = await proxy(requests_per_minute=1)
    assert (await front.post(request(model="default"), path=MESSAGES)).status == 200
    assert (await front.post(request(), path=f"{MESSAGES}/count_tokens")).status == 200
    limited = await front.post(request(model="default"), path=MESSAGES)
    assert (limited.status, check_message_error(limited.body)["type"]) == (429, "rate_limit_error")
    assert limited.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert limited.headers["anthropic-ratelimit-requests-remaining"] == "0"
    reset = datetime.fromisoformat(limited.headers["anthropic-ratelimit-requests-reset"])
    waits = reset.timestamp() - time.time()
    assert 0 < waits <= 61, "an RFC 3339 time, not a duration"
    assert int(limited.headers["retry-after"]) <= 60


async def test_the_official_client_reads_the_models_page_by_page(client: AsyncAnthropic) -> None:
    first = await client.models.list(limit=1)
    assert ([model.id for model in first.data], first.has_more) == (["owl"], True)
    assert [model.id async for model in first] == ["owl", "default"]
    with pytest.raises(anthropic.BadRequestError, match="limit: Input should be an integer from 1 to 1000"):
        await client.models.list(limit=0)


async def test_models_have_the_form_of_the_client_that_asks(front: Proxy, client: AsyncAnthropic) -> None:
    page = await client.models.list()
    assert [model.id for model in page.data] == ["owl", "default"]
    assert (await client.models.retrieve("owl")).display_name == "owl"
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("ant")
    received = await front.get("/v1/models")
    assert b'"object":"list"' in received.body
