"""Answers that are to be JSON, socket to socket: held to the request's schema, and freed from fences."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel

from oaicompat_proxy.pipeline.comparison import compare
from tests.support.api_clients import CHAT_CLIENT, MESSAGES_CLIENT, RESPONSES_CLIENT, ApiClient
from tests.support.conformance import check_body, check_error_body
from tests.support.pipeline import Options
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.recordings import first_recording
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, closing, run, tool_call

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "tides": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
    "additionalProperties": False,
}
FITS = '{"city": "Brest", "tides": [6, 18]}'
MISFIT = '{"city": "Brest", "tides": [6, "eighteen o\'clock"]}'
PLACE = "/tides/1 it breaks 'type'"


@dataclass(frozen=True)
class Format:
    """How a client of an API asks for JSON."""

    client: ApiClient
    fields: Callable[[Any], dict[str, Any]]
    param: str

    def __str__(self) -> str:
        return str(self.client)


def chat_format(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "tides", "schema": schema}}}


FORMATS = [
    Format(CHAT_CLIENT, chat_format, "response_format.json_schema.schema"),
    Format(
        RESPONSES_CLIENT,
        lambda schema: {"text": {"format": {"type": "json_schema", "name": "tides", "schema": schema}}},
        "text.format.schema",
    ),
    Format(
        MESSAGES_CLIENT,
        lambda schema: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        "output_config.format.schema",
    ),
]
every_format = pytest.mark.parametrize("wanted", FORMATS, ids=str)
both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(front: Proxy, wanted: Format, schema: Any = SCHEMA, *, stream: bool) -> tuple[int, bytes]:
    body = json.loads(wanted.client.request("When is high tide?", {}, stream=stream))
    answer = await front.post(json.dumps({**body, **wanted.fields(schema)}).encode(), path=wanted.client.path)
    return answer.status, answer.body


def read(wanted: Format, status: int, body: bytes, *, stream: bool) -> tuple[str | None, dict[str, Any] | None]:
    return wanted.client.read(status, body, wanted.client.options(Options(include_usage=False)), stream=stream)


@every_format
@both_ways
async def test_an_answer_that_fits_is_sent(proxy: StartProxy, agent: Agent, wanted: Format, stream: bool) -> None:
    agent.plays(*run(FITS[:9], FITS[9:]))
    status, body = await ask(await proxy(structured="check"), wanted, stream=stream)
    assert read(wanted, status, body, stream=stream) == (FITS, None)


@every_format
@both_ways
async def test_one_that_does_not_is_an_error(proxy: StartProxy, agent: Agent, wanted: Format, stream: bool) -> None:
    agent.plays(*run(MISFIT[:9], MISFIT[9:]))
    front = await proxy(structured="check")
    status, body = await ask(front, wanted, stream=stream)
    assert status == (200 if stream else 502)
    text, error = read(wanted, status, body, stream=stream)
    assert text is None
    assert error is not None
    assert PLACE in error["message"]
    assert "eighteen" not in error["message"]
    if not stream:
        assert b"agent_output_invalid" in body or wanted.client.name == "messages"
    assert 'error_type="agent_output_invalid"' in (await front.get("/metrics")).body.decode()


@every_format
@both_ways
async def test_by_default_it_passes(proxy: StartProxy, agent: Agent, wanted: Format, stream: bool) -> None:
    agent.plays(*run(MISFIT))
    status, body = await ask(await proxy(), wanted, stream=stream)
    assert read(wanted, status, body, stream=stream) == (MISFIT, None)


@every_format
async def test_a_schema_that_is_none_is_refused_before_the_run(proxy: StartProxy, agent: Agent, wanted: Format) -> None:
    front = await proxy(structured="check")
    for schema in ({"type": "strin"}, {"properties": {"a": 3}}, {"$ref": "https://example.com/tide.json"}):
        status, body = await ask(front, wanted, schema, stream=False)
        assert status == 400
        assert wanted.client.read_error(body)
        assert wanted.param.encode() in body
    assert agent.runs == []


@every_format
@both_ways
async def test_a_fence_is_taken_off(proxy: StartProxy, agent: Agent, wanted: Format, stream: bool) -> None:
    agent.plays(*run("``", "`js", f"on\n{FITS[:5]}", FITS[5:], "\n``", "`\n"))
    front = await proxy(structured="check", structured_strip_fences=True)
    status, body = await ask(front, wanted, stream=stream)
    assert read(wanted, status, body, stream=stream) == (FITS, None)


async def test_a_fence_stays_where_no_json_was_asked_for(proxy: StartProxy, agent: Agent) -> None:
    fenced = f"```json\n{FITS}\n```"
    agent.plays(*run(fenced))
    front = await proxy(structured_strip_fences=True)
    assert check_body((await front.post(chat_body(stream=False))).body).text == fenced


async def test_a_model_has_a_choice_of_its_own(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run(MISFIT))
    front = await proxy(model_setting={"careful:structured": "check"}, model={"careful": "", "default": ""})
    statuses = [
        (await front.post(chat_body(stream=False, model=model, **chat_format(SCHEMA)))).status
        for model in ("default", "careful")
    ]
    assert statuses == [200, 502]


async def test_any_object_will_do_for_json_object(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(structured="check")
    asked = chat_body(stream=False, response_format={"type": "json_object"})
    for text, status in (("{}", 200), ("[]", 502), ("Brest", 502)):
        agent.plays(*run(text))
        assert (await front.post(asked)).status == status


async def test_a_failure_of_the_check_is_not_tried_again(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run("Brest"))
    front = await proxy(structured="check")
    answer = await front.post(chat_body(stream=False, **chat_format(SCHEMA)))
    assert answer.headers["x-should-retry"] == "false"
    assert check_error_body(answer.body)["code"] == "agent_output_invalid"


@both_ways
async def test_a_cut_answer_and_a_call_say_so_themselves(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    front = await proxy(structured="check")
    agent.plays(*run('{"city', stop="max_tokens"))
    cut = await front.post(chat_body(stream=stream, **chat_format(SCHEMA)))
    assert (cut.status, b'"finish_reason":"length"' in cut.body) == (200, True)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    agent.plays(*OPENING, *tool_call("call_1", "weather", "{}"))
    called = await front.post(chat_body(stream=stream, tools=[tool], **chat_format(SCHEMA)))
    assert (called.status, b'"finish_reason":"tool_calls"' in called.body) == (200, True)


async def test_others_are_served_while_a_hostile_schema_is_applied(proxy: StartProxy, agent: Agent) -> None:
    """Each definition refers twice to the next: 2^40 ways to the end of it."""
    definitions = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i - 1}"}] * 2} for i in range(1, 40)}
    bomb = {"$ref": "#/$defs/a39", "$defs": {"a0": {"type": "string"}, **definitions}}
    front = await proxy(structured="check")
    agent.plays(*run("3"))
    asked = asyncio.create_task(front.post(chat_body(stream=False, **chat_format(bomb))))
    served = 0
    while not asked.done():
        assert (await front.get("/healthz")).status == 200
        served += 1
    answer = await asked
    assert answer.status == 502
    assert "more steps" in check_error_body(answer.body)["message"]
    assert served > 3


class Tide(BaseModel):
    city: str
    hours: list[int]


@pytest.mark.parametrize("fenced", [True, False])
async def test_the_official_client_parses_the_answer(proxy: StartProxy, agent: Agent, fenced: bool) -> None:
    text = Tide(city="Brest", hours=[6, 18]).model_dump_json()
    agent.plays(*run(f"```json\n{text}\n```" if fenced else text))
    front = await proxy(structured="check", structured_strip_fences=True)
    async with AsyncOpenAI(base_url=f"{front.base}/v1", api_key="any", max_retries=2) as client:
        chat = await client.chat.completions.parse(
            model="owl", messages=[{"role": "user", "content": "Hi"}], response_format=Tide
        )
        assert chat.choices[0].message.parsed == Tide(city="Brest", hours=[6, 18])
        response = await client.responses.parse(model="owl", input="Hi", text_format=Tide)
        assert response.output_parsed == Tide(city="Brest", hours=[6, 18])
        agent.plays(*run('{"city": "Brest"}'))
        before = len(agent.runs)
        with pytest.raises(openai.InternalServerError, match="'hours' is missing"):
            await client.chat.completions.parse(
                model="owl", messages=[{"role": "user", "content": "Hi"}], response_format=Tide
            )
        assert len(agent.runs) == before + 1
        with pytest.raises(openai.APIError, match="'hours' is missing"):
            await read_to_end(client)


async def read_to_end(client: AsyncOpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    async with client.chat.completions.stream(model="owl", messages=messages, response_format=Tide) as stream:
        await stream.until_done()


async def test_anthropics_client_raises(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*OPENING, *run('{"city": "Brest"}')[len(OPENING) : -len(closing())], *closing())
    front = await proxy(structured="check")
    async with AsyncAnthropic(base_url=front.base, api_key="any", max_retries=2) as client:
        with pytest.raises(anthropic.APIStatusError, match="'hours' is missing"):
            await client.messages.create(
                model="owl",
                max_tokens=100,
                messages=[{"role": "user", "content": "Hi"}],
                output_config={"format": {"type": "json_schema", "schema": Tide.model_json_schema()}},
            )
    assert len(agent.runs) == 1


@every_format
@both_ways
@pytest.mark.parametrize("raw", [True, False])
async def test_a_recording_of_a_misfit_replays(
    proxy: StartProxy, agent: Agent, tmp_path: Path, wanted: Format, stream: bool, raw: bool
) -> None:
    """A recording has no schema, so the parts before the error are compared."""
    agent.plays(*run("```json\n", MISFIT, "\n```"))
    front = await proxy(structured="check", structured_strip_fences=True, record=str(tmp_path), record_raw=raw)
    await ask(front, wanted, stream=stream)
    recording = await first_recording(tmp_path)
    assert recording.options.strip_fences
    assert compare(recording) == []


@both_ways
async def test_a_retry_gets_the_same_error_without_another_run(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(*run(MISFIT))
    front = await proxy(structured="check")
    body, headers = chat_body(stream=stream, **chat_format(SCHEMA)), {"Idempotency-Key": "tide"}
    answers = [await front.post(body, headers=headers) for _ in range(2)]
    assert [PLACE in answer.body.decode() for answer in answers] == [True, True]
    assert len(agent.runs) == 1


async def test_a_background_response_fails(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run(MISFIT))
    front = await proxy(structured="check")
    body = json.dumps({"model": "owl", "input": "Hi", "background": True, **FORMATS[1].fields(SCHEMA)}).encode()
    response = json.loads((await front.post(body, path="/v1/responses")).body)
    async with asyncio.timeout(PATIENCE):
        while response["status"] in ("queued", "in_progress"):
            response = json.loads((await front.get(f"/v1/responses/{response['id']}")).body)
    assert response["status"] == "failed"
    assert PLACE in response["error"]["message"]
