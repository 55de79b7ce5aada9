"""The official client is the judge: against a real process, and against recorded runs of a real gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageFunctionToolCall, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.support import processes
from tests.support.faults import RECORDED_RUNS
from tests.support.faults import recorded as read_run
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply, failure

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def prompt(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The proxy in front of its demo agent, in a process of its own."""
    with processes.proxy() as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def later(server: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="any", max_retries=0) as client:
        yield client


# Answers


def test_create(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="echo", messages=prompt("Hello there"))
    choice = completion.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there")
    assert (choice.finish_reason, completion.model) == ("stop", "echo")
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0


async def test_create_later(later: AsyncOpenAI) -> None:
    completion = await later.chat.completions.create(model="echo", messages=prompt("Hello there"))
    assert completion.choices[0].message.content == "Hello there"


def test_create_streamed(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="echo", messages=prompt("Hello there"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = stream
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there"
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


async def test_create_streamed_later(later: AsyncOpenAI) -> None:
    stream = await later.chat.completions.create(model="echo", messages=prompt("Hello there"), stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == "Hello there"


def test_the_helper_that_collects_a_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(model="echo", messages=prompt("Hello there")) as stream:
        types = [event.type for event in stream]
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello there"
    assert types.count("content.done") == 1


async def test_the_helper_that_collects_a_stream_later(later: AsyncOpenAI) -> None:
    async with later.chat.completions.stream(model="echo", messages=prompt("Hello there")) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == "Hello there"


class Report(BaseModel):
    city: str
    degrees: int


def test_an_answer_is_parsed_into_a_model(client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model="echo", messages=prompt('{"city": "Paris", "degrees": 21}'), response_format=Report
    )
    assert completion.choices[0].message.parsed == Report(city="Paris", degrees=21)


def test_a_stream_is_parsed_into_a_model(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="echo", messages=prompt('{"city": "Paris", "degrees": 21}'), response_format=Report
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.parsed == Report(city="Paris", degrees=21)


def test_the_raw_response_is_at_hand(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="echo", messages=prompt("Hello"))
    assert (raw.status_code, raw.headers["content-type"].split(";")[0]) == (200, "application/json")
    assert raw.parse().choices[0].message.content == "Hello"


def test_the_response_is_read_as_it_streams(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="echo", messages=prompt("Hello"), stream=True
    ) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert list(response.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_reasoning_comes_in_a_field_of_its_own(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="demo", messages=prompt("[[scenario:reasoning]]"))
    message = completion.choices[0].message
    assert message.content == "I have thought about it: the answer is 42."
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"].startswith("The user wants to see me think.")


# Tools


def call_of(completion: ChatCompletion) -> ChatCompletionMessageFunctionToolCall:
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    return call


def test_a_tool_is_called_and_its_result_is_used_in_two_rounds(client: OpenAI) -> None:
    """Each round sends the whole conversation again, as agents do."""
    messages = prompt("What is the weather in Paris?")
    for sky in ("sunny", "rainy"):
        asked = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
        call = call_of(asked)
        assert call.function.name == "weather"
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        messages.append(asked.choices[0].message.to_dict())  # type: ignore[arg-type]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": sky})
        answered = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
        assert answered.choices[0].finish_reason == "stop"
        assert answered.choices[0].message.content == f"Your tool answered: {sky}"
        messages.append({"role": "assistant", "content": answered.choices[0].message.content})
        messages.extend(prompt("And the weather in Rome?"))


def test_the_helper_collects_the_call_of_a_tool(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="demo", messages=prompt("What is the weather in Paris?"), tools=[WEATHER]
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        completion = stream.get_final_completion()
    call = call_of(completion)
    assert [(event.name, event.arguments) for event in done] == [("weather", call.function.arguments)]
    assert call.function.parsed_arguments == json.loads(call.function.arguments)  # type: ignore[attr-defined]


def test_what_the_agent_did_with_its_own_tools_is_no_call(client: OpenAI) -> None:
    completion = client.chat.completions.create(model="demo", messages=prompt("[[scenario:tool]]"), tools=[WEATHER])
    assert completion.choices[0].message.tool_calls is None
    assert completion.choices[0].finish_reason == "stop"


# Models


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo", "echo", "nostream", "default"]


def test_a_model_is_retrieved(client: OpenAI) -> None:
    assert client.models.retrieve("echo").id == "echo"


def test_a_model_that_is_not_there(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("nope")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


# Errors


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_is_no_request(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="echo", messages=[], stream=stream)
    assert raised.value.param == "messages"


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_no_agent_answers_for(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="nope", messages=prompt("Hello"), stream=stream)
    assert raised.value.code == "model_not_found"
    assert "`nope`" in str(raised.value)


@pytest.mark.parametrize("stream", [True, False])
def test_a_run_that_fails_at_once(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="demo", messages=prompt("[[scenario:fail_start]]"), stream=stream)
    assert raised.value.status_code == 502
    assert "exploded at start" in raised.value.message


def test_a_run_that_fails_in_mid_stream(client: OpenAI) -> None:
    pieces: list[str] = []
    with (
        client.chat.completions.create(model="demo", messages=prompt("[[scenario:fail]]"), stream=True) as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(pieces) == "One two three "
    assert "exploded midstream" in raised.value.message
    assert raised.value.code == "agent_error"


def test_a_run_that_fails_in_the_middle_of_a_whole_answer(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="demo", messages=prompt("[[scenario:fail]]"))


def test_a_line_to_the_agent_that_is_cut(client: OpenAI) -> None:
    with (
        client.chat.completions.create(model="demo", messages=prompt("[[scenario:cut]]"), stream=True) as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        list(stream)
    assert raised.value.code == "upstream_interrupted"


def test_a_proxy_that_is_gone() -> None:
    with processes.proxy() as url:
        pass
    with (
        OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_that_failed_is_not_run_again(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """The client retries such a status twice, unless a header says that the run may have had side effects."""
    agent.plays(failure("Model exploded"))
    async with AsyncOpenAI(base_url=f"{(await proxy()).base}/v1", api_key="any") as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="m", messages=prompt("Hello"), stream=stream)
    assert len(agent.runs) == 1


async def test_a_gateway_that_is_away_is_tried_again(proxy: StartProxy) -> None:
    """Nothing was run, and a header says so; the client retries by itself."""
    base = (await proxy(upstream=f"http://127.0.0.1:{processes.free_port()}")).base
    async with AsyncOpenAI(base_url=f"{base}/v1", api_key="any", max_retries=1) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model="m", messages=prompt("Hello"))
    assert raised.value.request.headers["x-stainless-retry-count"] == "1"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("429 rate limit", openai.RateLimitError),
        ("maximum context length exceeded", openai.BadRequestError),
        ("Overloaded", openai.InternalServerError),
    ],
)
async def test_each_failure_of_the_agents_model_has_its_class(
    proxy: StartProxy, agent: Agent, message: str, kind: type[openai.APIStatusError]
) -> None:
    agent.plays(failure(message))
    base = (await proxy()).base
    async with AsyncOpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
        with pytest.raises(kind):
            await client.chat.completions.create(model="m", messages=prompt("Hello"))


# Recorded runs


@dataclass
class Recorded:
    """The answer of a recording, read without the package."""

    texts: list[str]
    """The text of each tick."""
    reasoning: str
    usage: tuple[int, int, int] | None
    error: str | None
    calls: list[tuple[str, str]]
    """Id and name of those with which the run ends."""

    @property
    def reason(self) -> str:
        """The beginning of the error; private text may follow it."""
        return " ".join((self.error or "").split()[:4])

    @property
    def text(self) -> str:
        return "\n\n".join(text for text in self.texts if text)


def read_recording(path: Path) -> Recorded:
    recorded = Recorded([], "", None, None, [])
    for frame in read_run(path).frames:
        event = json.loads(frame.removeprefix(b"data: "))
        name, data = event["event"], event["data"]
        if data.get("spawnPath"):
            continue
        if name == "tick_start":
            recorded.texts.append("")
            recorded.calls.clear()
        elif name == "content_delta":
            recorded.texts[-1] += data["delta"]
        elif name == "reasoning_delta":
            recorded.reasoning += data["delta"]
        elif name == "entry_committed" and not recorded.texts[-1]:  # of a model that does not stream
            message = data["entry"].get("message", {})
            if message.get("role") == "assistant":
                recorded.texts[-1] = "".join(block.get("text", "") for block in message["content"])
        elif name == "tool_call":
            recorded.calls.append((data["callId"], data["name"]))
        elif name == "result":
            used = data["result"]["usage"]
            recorded.usage = (used["inputTokens"], used["outputTokens"], used["totalTokens"])
        elif name == "error" and isinstance(data["error"], str):
            recorded.error = data["error"]
    return recorded


@pytest.fixture(params=RECORDED_RUNS, ids=lambda path: path.name.partition(".")[0])
async def replay(request: pytest.FixtureRequest, proxy: StartProxy, agent: Agent) -> AsyncIterator[Replay]:
    """An official client, in front of a gateway that plays a recording."""
    agent.replies("/send", Reply(read_run(request.param).frames))
    base = (await proxy()).base
    async with AsyncOpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
        yield Replay(client, read_recording(request.param))


@dataclass
class Replay:
    client: AsyncOpenAI
    recorded: Recorded


async def test_a_recorded_run_streamed(replay: Replay) -> None:
    recorded = replay.recorded
    text, reasoning, roles, reasons, usages = "", "", [], [], []
    error = None
    try:
        stream = await replay.client.chat.completions.create(
            model="m", messages=prompt("Hello"), stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasoning += (choice.delta.model_extra or {}).get("reasoning_content", "")
                roles += [choice.delta.role] if choice.delta.role else []
                reasons += [choice.finish_reason] if choice.finish_reason else []
    except openai.APIError as failed:
        error = failed
    assert text.encode() == recorded.text.encode()
    assert reasoning == recorded.reasoning
    if recorded.error is not None:
        assert error is not None
        assert recorded.reason in error.message
        assert reasons == []
        return
    assert error is None
    assert (roles, len(reasons)) == (["assistant"], 1)
    assert [(used.prompt_tokens, used.completion_tokens, used.total_tokens) for used in usages] == [recorded.usage]


async def test_a_recorded_run_streamed_and_not_is_the_same_message(replay: Replay) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": prompt("Hello")}
    if replay.recorded.error is not None:
        with pytest.raises(openai.APIStatusError) as raised:
            await replay.client.chat.completions.create(**asked)
        assert replay.recorded.reason in raised.value.message
        return
    whole: ChatCompletion = await replay.client.chat.completions.create(**asked)
    stream = await replay.client.chat.completions.create(**asked, stream=True)
    collected = openai.lib.streaming.chat.ChatCompletionStreamState()
    async for chunk in stream:
        collected.handle_chunk(chunk)
    streamed = collected.current_completion_snapshot.choices[0]
    assert streamed.finish_reason == whole.choices[0].finish_reason
    expected, message = whole.choices[0].message, streamed.message
    assert (message.role, message.content or None) == (expected.role, expected.content)
    assert (message.content or "") == replay.recorded.text
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert calls == [
        (call.id, call.function.name, call.function.arguments)  # type: ignore[union-attr]
        for call in expected.tool_calls or []
    ]
    ended_on = replay.recorded.calls if whole.choices[0].finish_reason == "tool_calls" else []
    assert [(call_id, name) for call_id, name, _ in calls] == ended_on
    assert (message.model_extra or {}).get("reasoning_content") == (expected.model_extra or {}).get("reasoning_content")
