"""The older endpoint, socket to socket: one prompt, one text, the same run behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types import Completion

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import (
    LAST_WORD,
    OPENING,
    Agent,
    Step,
    answer,
    closing,
    failure,
    frame,
    run,
    text,
    tool_call,
)
from tests.unit.api.openai.completions.test_encoder import read_body, read_stream

COMPLETIONS = "/v1/completions"


async def complete(front: Proxy, **fields: Any) -> Received:
    return await front.post(json.dumps({"prompt": "An owl", **fields}).encode(), path=COMPLETIONS)


def sdk(front: Proxy, **how: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", **{"max_retries": 0, **how})


# What an answer is


async def test_a_run_is_one_whole_text(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(" flies", " by night."))
    received = await complete(await proxy(), model="owl")
    read = read_body(received.body)
    assert (received.status, received.headers["Content-Type"]) == (200, "application/json")
    assert (read.text, read.finish_reason, read.model) == (" flies by night.", "stop", "owl")
    assert read.usage == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    assert (read.id or "").startswith("cmpl-")


PING = b'"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}]}\n\n'


@pytest.mark.parametrize("include_usage", [True, False])
async def test_a_run_is_one_streamed_text(proxy: StartProxy, agent: Agent, include_usage: bool) -> None:
    agent.plays(run(" flies", " by night."))
    options = {"include_usage": True} if include_usage else None
    received = await complete(await proxy(), model="owl", stream=True, stream_options=options)
    read = read_stream(received.body, include_usage=include_usage)
    assert received.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (read.text, read.finish_reason, read.model) == (" flies by night.", "stop", "owl")
    assert (read.usage is not None) == include_usage
    assert (read.id or "").startswith("cmpl-")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("prompt", ["An owl", ["An owl"]])
async def test_the_prompt_is_the_agents_whole_message(
    proxy: StartProxy, agent: Agent, prompt: object, stream: bool
) -> None:
    agent.plays(run("Hu"))
    await complete(await proxy(), prompt=prompt, stream=stream)
    (message,) = agent.runs[0].json["messages"]
    assert (message["role"], message["content"]) == ("user", [{"type": "text", "text": "An owl"}])


async def test_what_else_was_said_travels_to_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hu"))
    await complete(await proxy(), max_tokens=16, temperature=0, user="me", min_p=0.1, stop=None)
    (metadata,) = agent.runs[0].json["message"]["metadata"].values()
    assert metadata == {"max_tokens": 16, "temperature": 0, "user": "me", "min_p": 0.1}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_echo_puts_the_prompt_in_front(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run(" flies"))
    received = await complete(await proxy(), stream=stream, echo=True)
    read = read_stream(received.body, include_usage=False) if stream else read_body(received.body)
    assert read.text == "An owl flies"


async def test_an_echo_of_an_answer_without_text_is_the_prompt(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run())
    front = await proxy()
    assert read_stream((await complete(front, stream=True, echo=True)).body, include_usage=False).text == "An owl"
    assert read_body((await complete(front, echo=True)).body).text == "An owl"
    assert read_body((await complete(front)).body).text == ""


async def test_the_echo_goes_out_while_the_agent_still_thinks(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text(" flies"), closing())
    line = await (await proxy(first_event_wait=0.01, keep_alive=0.01)).dial()
    await line.post(b'{"prompt": "An owl", "stream": true, "echo": true}', path=COMPLETIONS, version="1.0")
    await line.read_head()
    beginning = await line.read_until(b'"An owl"') + await line.read_until(PING)
    gate.set()
    assert read_stream(beginning + await line.read_to_end(), include_usage=False).text == "An owl flies"


@pytest.mark.parametrize("form", ["chunk", "comment"])
async def test_without_an_echo_a_slow_start_is_a_ping(proxy: StartProxy, agent: Agent, form: str) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text(" flies"), closing())
    line = await (await proxy(first_event_wait=0.01, keep_alive_form=form)).dial()
    await line.post(b'{"prompt": "An owl", "stream": true}', path=COMPLETIONS, version="1.0")
    await line.read_head()
    beginning = await line.read_until(b"\n\n")
    assert b'"text":""' in beginning if form == "chunk" else beginning == b": ping\n\n"
    gate.set()
    assert read_stream(beginning + await line.read_to_end(), include_usage=False).text == " flies"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("stop", "shown"),
    [("stop", "stop"), ("max_tokens", "length"), ("content_filter", "content_filter"), ("stop_sequence", "stop")],
)
async def test_the_agents_reason_is_one_of_the_endpoints(
    proxy: StartProxy, agent: Agent, stop: str, shown: str, stream: bool
) -> None:
    agent.plays(run("Hu", stop=stop))
    received = await complete(await proxy(), stream=stream)
    read = read_stream(received.body, include_usage=False) if stream else read_body(received.body)
    assert read.finish_reason == shown


OTHER_THINGS: list[bytes] = [
    *OPENING,
    frame("reasoning_delta", delta="Owls?"),
    frame("content_start", blockType="text", blockIndex=0),
    text("Let me see."),
    frame("content_end", blockType="text", metadata={"citations": [{"url": "https://owls.example"}]}),
    *tool_call("c1", "look_up", '{"word":"owl"}'),
]


@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_tools_and_citations_have_no_place_here(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(
        OTHER_THINGS,
        frame("tick_end", tick=1, shouldContinue=True),
        frame("tick_start", tick=2),
        text("Owls hunt."),
        closing(),
    )
    received = await complete(await proxy(), stream=stream)
    read = read_stream(received.body, include_usage=False) if stream else read_body(received.body)
    assert (read.text, read.finish_reason) == ("Let me see.\n\nOwls hunt.", "stop")
    assert b"Owls?" not in received.body
    assert b"owls.example" not in received.body
    assert b"look_up" not in received.body


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_that_ends_on_a_call_is_a_stop(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(OTHER_THINGS, frame("tick_end", tick=1, shouldContinue=False), LAST_WORD)
    received = await complete(await proxy(), stream=stream)
    read = read_stream(received.body, include_usage=False) if stream else read_body(received.body)
    assert (read.text, read.finish_reason) == ("Let me see.", "stop")


@pytest.mark.parametrize("stream", [True, False])
async def test_line_ends_to_some_are_escaped(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    texts = ["a\u2028", "b\u2029", "c\u0085", "d\r\n"]
    agent.plays(run(*texts))
    received = await complete(await proxy(), stream=stream, echo=True, prompt="\u2028")
    read = read_stream(received.body, include_usage=False) if stream else read_body(received.body)
    assert read.text == "\u2028" + "".join(texts)


async def test_each_answer_has_an_id_and_the_time(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hu"))
    front = await proxy()
    first, second = [read_body((await complete(front)).body) for _ in range(2)]
    assert first.id != second.id
    assert first.created is not None
    assert second.created is not None
    assert 0 <= second.created - first.created <= 10


# Failures


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_is_an_http_status(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(OPENING, failure("429 Too many requests"))
    received = await complete(await proxy(), stream=stream)
    assert (received.status, received.headers["x-should-retry"]) == (429, "false")
    assert check_error_body(received.body)["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("ending", [failure("Model exploded"), "cut"])
async def test_a_failure_after_the_first_word_is_the_last_frame(proxy: StartProxy, agent: Agent, ending: Step) -> None:
    agent.plays(OPENING, text("An owl "), ending)
    received = await complete(await proxy(), stream=True)
    read = read_stream(received.body, include_usage=False)
    assert (received.status, read.text, read.finish_reason) == (200, "An owl ", None)
    assert read.error is not None
    assert read.error["type"] == "server_error"


async def test_a_failure_after_the_first_word_leaves_no_half_text(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("An owl "), "cut")
    received = await complete(await proxy())
    assert (received.status, check_error_body(received.body)["code"]) == (502, "upstream_interrupted")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": ["a", "b"]}, "prompt", "unsupported_value"),
        ({"prompt": [1, 2, 3]}, "prompt", "unsupported_value"),
        ({"prompt": [[1], [2]]}, "prompt", "unsupported_value"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"best_of": 2}, "best_of", "unsupported_value"),
        ({"logprobs": 1}, "logprobs", "unsupported_parameter"),
        ({"suffix": "end"}, "suffix", "unsupported_parameter"),
        ({"echo": "yes"}, "echo", "invalid_type"),
        ({"temperature": -3}, "temperature", "decimal_below_min_value"),
    ],
    ids=str,
)
async def test_what_an_agent_cannot_do_is_refused_and_not_run(
    proxy: StartProxy, agent: Agent, fields: dict[str, Any], param: str, code: str, stream: bool
) -> None:
    received = await complete(await proxy(), stream=stream, **fields)
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["param"], error["code"]) == (
        400,
        "invalid_request_error",
        param,
        code,
    )
    assert agent.runs == []


async def test_a_prompt_that_is_absent_is_missed(proxy: StartProxy, agent: Agent) -> None:
    received = await (await proxy()).post(b'{"model": "owl"}', path=COMPLETIONS)
    error = check_error_body(received.body)
    assert (received.status, error["param"], error["code"]) == (400, "prompt", "missing_required_parameter")


async def test_usage_options_without_a_stream_are_refused(proxy: StartProxy, agent: Agent) -> None:
    received = await complete(await proxy(), stream_options={"include_usage": True})
    assert (received.status, check_error_body(received.body)["param"]) == (400, "stream_options")


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unknown_model_is_not_found(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(failure('Unknown app "nobody". Available: owl'))
    received = await complete(await proxy(), model="nobody", stream=stream)
    error = check_error_body(received.body)
    assert (received.status, error["code"], error["param"]) == (404, "model_not_found", None)
    assert "`nobody`" in error["message"]


@pytest.mark.parametrize(("model", "app"), [("owl", "owl:"), ("mine", "crow:"), ("default", ""), (None, "")])
async def test_the_model_is_the_app(proxy: StartProxy, agent: Agent, model: str | None, app: str) -> None:
    agent.plays(run("Hu"))
    await complete(await proxy(model={"mine": "crow"}), model=model)
    assert agent.runs[0].session.startswith(app)
    assert (":" in agent.runs[0].session) == bool(app)


# The official client


async def test_the_official_client_creates(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(" flies"))
    async with sdk(await proxy()) as client:
        completion = await client.completions.create(model="owl", prompt="An owl", echo=True)
    assert (completion.object, completion.model) == ("text_completion", "owl")
    assert completion.choices[0].text == "An owl flies"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 18


async def test_the_official_client_streams(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(" flies", " by night."))
    async with sdk(await proxy()) as client:
        stream = await client.completions.create(
            model="owl", prompt="An owl", stream=True, stream_options={"include_usage": True}
        )
        pieces = [piece async for piece in stream]
    *middle, last, usage = pieces
    assert "".join(piece.choices[0].text for piece in middle) == " flies by night."
    assert (last.choices[0].finish_reason, usage.choices) == ("stop", [])
    assert usage.usage is not None
    assert usage.usage.total_tokens == 18
    assert {piece.usage for piece in [*middle, last]} == {None}


async def test_the_blocking_client_creates_and_streams(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(" flies"))
    front = await proxy()

    def talk() -> tuple[str, str]:
        with openai.OpenAI(base_url=f"{front.base}/v1", api_key="k", max_retries=0) as client:
            whole = client.completions.create(model="owl", prompt="An owl").choices[0].text
            pieces = client.completions.create(model="owl", prompt="An owl", stream=True)
            return whole, "".join(piece.choices[0].text for piece in pieces)

    assert await asyncio.to_thread(talk) == (" flies", " flies")


async def test_the_official_client_raises_for_a_failure_in_mid_stream(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("An owl "), failure("Overloaded"))
    texts: list[str] = []

    async def read(pieces: AsyncIterator[Completion]) -> None:
        async for piece in pieces:
            texts.extend([piece.choices[0].text])

    async with sdk(await proxy()) as client:
        stream = await client.completions.create(model="owl", prompt="An owl", stream=True)
        with pytest.raises(openai.APIError) as raised:
            await read(stream)
    assert (texts, raised.value.code) == (["An owl "], "server_is_overloaded")


async def test_the_official_client_raises_for_what_is_refused(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", answer({"apps": []}))
    async with sdk(await proxy()) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.completions.create(model="owl", prompt=["a", "b"])
    assert (raised.value.param, raised.value.code) == ("prompt", "unsupported_value")


# The run behind it


@pytest.mark.parametrize("stream", [True, False])
async def test_its_session_is_its_own_and_closed(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hu"))
    front = await proxy()
    for _ in range(2):
        await complete(front, stream=stream)
    await agent.until(lambda: len(agent.closed_sessions) == 2)
    assert len({each.session for each in agent.runs}) == 2


async def test_a_client_that_leaves_releases_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("An owl "), "stall")
    line = await (await proxy()).dial()
    await line.post(b'{"prompt": "Hi", "stream": true}', path=COMPLETIONS)
    await line.read_until(b"An owl ")
    await line.close()
    await agent.until(lambda: agent.runs[0].outcome == "left")
