"""An agent of another framework, behind the proxy, asked by the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from typing import Any

import openai
import pytest
from ag_ui.core import RunAgentInput
from openai import AsyncOpenAI

from tests.support.ag_ui_client import TIDE, Front, ask, both_ways, echo
from tests.support.agents.pydantic_agent import Harbor, serving
from tests.support.proxy import StartProxy

pytest_plugins = ["tests.support.ag_ui_fixtures"]


@pytest.fixture
def harbor() -> Iterator[Harbor]:
    with serving() as harbor:
        yield harbor


@pytest.fixture
def client(harbor: Harbor, ag_ui: Front) -> Front:
    """The arguments are settings."""

    def start(**settings: Any) -> Awaitable[AsyncOpenAI]:
        return ag_ui(**{"upstream": harbor.url, **settings})

    return start


@both_ways
async def test_translation_text_channel(client: Front, harbor: Harbor, stream: bool) -> None:
    completion = await ask(await client(), "Hi", stream=stream)
    (choice,) = completion.choices
    assert (choice.message.content, choice.finish_reason) == ("Hello from the harbor.", "stop")
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
    RunAgentInput.model_validate(harbor.requests[0])


async def test_it_streams_while_the_agent_speaks(client: Front) -> None:
    stream = await (await client()).chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    texts = [
        chunk.choices[0].delta.content async for chunk in stream if chunk.choices and chunk.choices[0].delta.content
    ]
    assert texts == ["Hello", " from", " the", " harbor."]


@both_ways
async def test_reasoning(client: Front, stream: bool) -> None:
    message = (await ask(await client(), "think", stream=stream)).choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm, a greeting.", "Hello.")


@both_ways
async def test_the_agents_own_tool_stays_inside(client: Front, stream: bool) -> None:
    (choice,) = (await ask(await client(), "almanac", stream=stream)).choices
    assert choice.message.content == 'Let me look.\n\nIt says {"almanac": "high water in Brest at 06:12"}.'
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])


async def test_the_agents_own_tool_may_be_shown(client: Front) -> None:
    message = (await ask(await client(server_tools="reasoning"), "almanac")).choices[0].message
    assert message.reasoning_content == '⟦tool⟧ almanac {"port":"Brest"} → high water in Brest at 06:12'


@both_ways
@pytest.mark.parametrize("prompt", ["tide", "almanac and tide"])
async def test_the_clients_tool_in_two_rounds(client: Front, harbor: Harbor, stream: bool, prompt: str) -> None:
    there = await client()
    first = await ask(there, prompt, stream=stream, tools=[TIDE])
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    (called,) = choice.message.tool_calls
    assert (called.function.name, json.loads(called.function.arguments)) == ("tide", {"port": "Brest"})
    assert first.usage.total_tokens > 0
    answered = {"role": "tool", "tool_call_id": called.id, "content": "06:12"}
    second = await ask(
        there, prompt if prompt == "tide" else "tide", echo(choice.message), answered, stream=stream, tools=[TIDE]
    )
    assert second.choices[0].message.content == 'It says {"tide": "06:12"}.'
    assert second.choices[0].finish_reason == "stop"
    before, after = (request["messages"] for request in harbor.requests)
    assert after[0]["id"] == before[0]["id"] or prompt != "tide"


async def test_a_client_that_forbids_calls_is_asked_for_none(client: Front, harbor: Harbor) -> None:
    choice = (await ask(await client(), "tide", tools=[TIDE], tool_choice="none")).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello from the harbor.", "stop")
    assert harbor.requests[0]["tools"] == []


async def test_the_framework_understands_the_whole_conversation(client: Front) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}}
    completion = await ask(
        await client(),
        {"role": "user", "content": [{"type": "text", "text": "When is"}, {"type": "text", "text": "high tide?"}]},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "06:12"},
        {"role": "assistant", "content": "At 06:12."},
        "summary",
    )
    assert json.loads(completion.choices[0].message.content) == [
        ["user-prompt", "When is\nhigh tide?"],
        ["text", "Let me look."],
        ["tool-call", '{"port":"Brest"}'],
        ["tool-return", "06:12"],
        ["text", "At 06:12."],
        ["user-prompt", "summary"],
    ]


async def test_a_picture_reaches_the_model(client: Front) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    there = await client()
    look = {"role": "user", "content": [{"type": "text", "text": "Look:"}, picture]}
    completion = await ask(there, look, {"role": "assistant", "content": "Nice."}, "summary")
    (kind, parts), *_ = json.loads(completion.choices[0].message.content)
    assert kind == "user-prompt"
    assert parts[0] == "Look:"
    assert "image/png" in parts[1]


async def test_other_parameters_travel_beside(client: Front, harbor: Harbor) -> None:
    await ask(await client(), "Hi", temperature=0.5, seed=7)
    assert harbor.requests[0]["forwardedProps"] == {"openai": {"temperature": 0.5, "seed": 7}}


@both_ways
async def test_a_failure_before_the_first_word_is_a_status(client: Front, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(await client(), "fail", stream=stream)
    assert "sk-" not in str(caught.value)


async def test_a_failure_after_it_is_an_error_in_the_stream(client: Front) -> None:
    with pytest.raises(openai.APIError, match=r"The crystal ball broke\."):
        await ask(await client(), "fail later", stream=True)
    with pytest.raises(openai.InternalServerError, match=r"The crystal ball broke\."):
        await ask(await client(), "fail later")


@both_ways
async def test_when_the_client_leaves_the_agent_stops(client: Front, harbor: Harbor, stream: bool) -> None:
    there = await client()
    if stream:
        answer = await there.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "for ever"}], stream=True
        )
        await anext(aiter(answer))
        await answer.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            await there.with_options(timeout=0.5).chat.completions.create(
                model="default", messages=[{"role": "user", "content": "for ever"}]
            )
    assert await asyncio.to_thread(harbor.stopped.wait, 5)


async def test_several_agents_are_several_models(client: Front, harbor: Harbor) -> None:
    models = {"pilot": "agents/pilot", "whole": f"{harbor.url}/agents/pilot", "nobody": "/nobody"}
    there = await client(model=models)
    assert [model.id async for model in await there.models.list()] == ["pilot", "whole", "nobody", "default"]
    for model in ("pilot", "whole"):
        completion = await ask(there, "Hi", model=model)
        assert (completion.choices[0].message.content, completion.model) == ("Hello from the harbor.", model)
    with pytest.raises(openai.NotFoundError):
        await ask(there, "Hi", model="gpt-4o")
    with pytest.raises(openai.InternalServerError, match="404"):
        await ask(there, "Hi", model="nobody")


async def test_a_named_session_is_a_thread_of_its_caller(client: Front, harbor: Harbor) -> None:
    there = await client()
    mine = {"X-Session-Id": "tides"}
    for _ in range(2):
        await ask(there, "Hi", extra_headers=mine)
    await ask(there.with_options(api_key="other"), "Hi", extra_headers=mine)
    await ask(there, "Hi")
    first, second, other, fresh = (request["threadId"] for request in harbor.requests)
    assert first == second
    assert len({first, other, fresh}) == 3
    assert len({request["runId"] for request in harbor.requests}) == 4
    assert "tides" not in first


async def test_an_agent_that_keeps_the_thread_gets_only_what_is_new(client: Front, harbor: Harbor) -> None:
    there = await client(history="last")
    mine: dict[str, Any] = {"extra_headers": {"X-Session-Id": "tides"}}
    first = await ask(there, "One", **mine)
    await ask(there, "One", echo(first.choices[0].message), "Three", **mine)
    assert [[each["content"] for each in request["messages"]] for request in harbor.requests] == [["One"], ["Three"]]
    assert len({request["threadId"] for request in harbor.requests}) == 1


async def test_any_other_conversation_goes_whole_to_a_thread_of_its_own(client: Front, harbor: Harbor) -> None:
    """Its next turn continues there."""
    there = await client(history="last")
    mine: dict[str, Any] = {"extra_headers": {"X-Session-Id": "tides"}}
    await ask(there, "Zero", **mine)
    messages = ["One", {"role": "assistant", "content": "Two"}, "Three"]
    answer = await ask(there, *messages, **mine)
    await ask(there, *messages, echo(answer.choices[0].message), "Five", **mine)
    _, whole, new = harbor.requests
    assert [message["content"] for message in whole["messages"]] == ["One", "Two", "Three"]
    assert [message["content"] for message in new["messages"]] == ["Five"]
    assert whole["threadId"] == new["threadId"] != harbor.requests[0]["threadId"]


async def test_a_thread_may_be_named_as_the_agent_does(client: Front, harbor: Harbor) -> None:
    there = await client(history="last", session_names="native")
    messages = ["One", {"role": "assistant", "content": "Two"}, "Three"]
    await ask(there, *messages, extra_headers={"X-Session-Id": "front-end-1"})
    (request,) = harbor.requests
    assert request["threadId"] == "front-end-1"
    assert [message["content"] for message in request["messages"]] == ["Three"]


@both_ways
async def test_a_tool_that_needs_a_human_is_denied_by_default(client: Front, harbor: Harbor, stream: bool) -> None:
    with pytest.raises(openai.APIError, match="waits for a confirmation before it runs its tool 'launch'"):
        await ask(await client(), "launch", stream=stream)
    assert harbor.launched == []


@both_ways
@pytest.mark.parametrize("prompt", ["launch", "almanac and launch"])
async def test_a_tool_that_needs_a_human_may_be_approved_at_once(
    client: Front, harbor: Harbor, stream: bool, prompt: str
) -> None:
    completion = await ask(await client(confirmations="approve"), prompt, stream=stream)
    (choice,) = completion.choices
    assert harbor.launched == ["Brest"]
    assert choice.finish_reason == "stop"
    assert choice.message.content.startswith("Let me look.\n\nIt says {")
    assert '"launch": "afloat"' in choice.message.content
    assert completion.usage.total_tokens > 0


@both_ways
@pytest.mark.parametrize(
    ("reply", "launched", "result"),
    [
        ('{"confirmed": true}', ["Brest"], "afloat"),
        ("yes", ["Brest"], "afloat"),
        ("Too windy.", [], "Too windy."),
        ('{"confirmed": false, "reason": "It is Sunday."}', [], "It is Sunday."),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"X-Session-Id": "tides"}])
async def test_a_tool_that_needs_a_human_may_ask_the_client(
    client: Front, harbor: Harbor, headers: dict[str, str], reply: str, launched: list[str], result: str, stream: bool
) -> None:
    there = await client(confirmations="ask")
    first = (await ask(there, "launch", stream=stream, extra_headers=headers)).choices[0]
    assert first.finish_reason == "tool_calls"
    (question,) = first.message.tool_calls
    asked = json.loads(question.function.arguments)
    assert (question.function.name, asked["tool"], asked["arguments"]) == (
        "confirm_tool_call",
        "launch",
        {"port": "Brest"},
    )
    assert harbor.launched == []
    answer = {"role": "tool", "tool_call_id": question.id, "content": reply}
    second = (await ask(there, "launch", echo(first.message), answer, stream=stream, extra_headers=headers)).choices[0]
    assert harbor.launched == launched
    assert second.message.content == f'It says {{"launch": "{result}"}}.'
    assert second.finish_reason == "stop"
    assert harbor.requests[0]["threadId"] == harbor.requests[1]["threadId"]


async def test_the_older_endpoint(client: Front, harbor: Harbor) -> None:
    there = await client(confirmations="approve")
    for prompt, text in (("Hi", "Hello from the harbor."), ("launch", 'Let me look.\n\nIt says {"launch": "afloat"}.')):
        completion = await there.completions.create(model="default", prompt=prompt)
        assert (completion.choices[0].text, completion.choices[0].finish_reason) == (text, "stop")
    assert harbor.launched == ["Brest"]


async def test_another_caller_cannot_answer_the_question(client: Front, harbor: Harbor) -> None:
    there = await client(confirmations="ask")
    first = (await ask(there, "launch")).choices[0].message
    answer = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "yes"}
    with pytest.raises(openai.BadRequestError):
        await ask(there.with_options(api_key="other"), "launch", echo(first), answer)
    assert harbor.launched == []


async def test_a_refused_token_is_the_operators_affair(client: Front) -> None:
    there = await client(upstream_token="wrong")
    with pytest.raises(openai.InternalServerError, match="refused this proxy's token"):
        await ask(there, "Hi")


async def test_it_is_ready_when_something_answers(harbor: Harbor, proxy: StartProxy) -> None:
    front = await proxy(upstream=harbor.url, dialect="ag-ui")
    assert (await front.get("/readyz")).status == 200
    nobody = await proxy(upstream="http://127.0.0.1:1", dialect="ag-ui")
    assert (await nobody.get("/readyz")).status == 503
