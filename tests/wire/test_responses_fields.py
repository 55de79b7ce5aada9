"""Every field of a Responses request, one after another: what the agent gets of it and what the response repeats."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import openai.types.responses.response_create_params as published
import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, StartProxy
from tests.support.responses_conformance import check_response_body
from tests.support.scripted_gateway import Agent, answer, run

RESPONSES = "/v1/responses"
TIDE = {"type": "function", "name": "tide", "parameters": {"type": "object"}}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
WITH_TOOLS = {"tools": [TIDE]}

GIVEN: dict[str, list[Any]] = {
    "temperature": [0, 0.5, 2],
    "top_p": [0.1],
    "max_output_tokens": [1, 4096],
    "max_tool_calls": [3],
    "parallel_tool_calls": [False],
    "reasoning": [{"effort": "high", "summary": None}],
    "text": [{"format": {"type": "text"}, "verbosity": "low"}, {"format": SCHEMA}, {"format": {"type": "json_object"}}],
    "truncation": ["auto"],
    "metadata": [{"a": "b"}, {"k" * 64: "v" * 512, **{str(number): "" for number in range(15)}}],
    "user": ["ada"],
    "safety_identifier": ["hash"],
    "prompt_cache_key": ["thread"],
    "prompt_cache_retention": ["24h"],
    "prompt_cache_options": [{"mode": "explicit", "ttl": "30m"}],
    "service_tier": ["flex"],
}
"""Passed on to the agent, and repeated as they are."""

QUIET: dict[str, list[Any]] = {
    "client_metadata": [{"turn_id": "1"}],
    "context_management": [[{"type": "compaction"}]],
    "access_programs": [{"a": 1}],
    "image": [{"b": 2}],
    "background_options": [{"completion_window": "1h"}],
    "input_transformations": [[{"type": "x"}]],
    "continuation_id": ["an unknown field"],
}
"""Passed on to the agent, and not repeated."""

USED: dict[str, list[Any]] = {
    "model": ["owl"],
    "input": ["Hi"],
    "instructions": ["Be brief."],
    "store": [False, True],
    "stream": [False],
    "stream_options": [{"include_obfuscation": True}],
    "include": [["reasoning.encrypted_content", "message.output_text.logprobs"], []],
    "background": [False],
    "top_logprobs": [0],
    "n": [1],
}
"""The proxy's own affair: the agent gets none of them by name."""

REFUSED: dict[str, list[tuple[Any, str | None]]] = {
    "conversation": [("conv_1", None), ({"id": "conv_1"}, None)],
    "prompt": [({"id": "pmpt_1"}, "unsupported_parameter")],
    "moderation": [({"model": "x"}, "unsupported_parameter")],
    "top_logprobs": [(5, "unsupported_parameter")],
    "n": [(2, "unsupported_value")],
    "previous_response_id": [("resp_1", "previous_response_not_found")],
}
CHOICES: dict[str, list[Any]] = {
    "tools": [[TIDE], [{"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []}]],
    "tool_choice": ["none", "required", {"type": "function", "name": "tide"}],
}
WRONG: dict[str, list[tuple[Any, str, str]]] = {
    "model": [(1, "model", "invalid_type")],
    "input": [(1, "input", "invalid_type"), ([], "input", "empty_array"), ([1], "input[0]", "invalid_type")],
    "instructions": [(1, "instructions", "invalid_type")],
    "stream": [("yes", "stream", "invalid_type")],
    "stream_options": [
        ([], "stream_options", "invalid_type"),
        ({"include_obfuscation": 1}, "stream_options.include_obfuscation", "invalid_type"),
    ],
    "store": [("no", "store", "invalid_type")],
    "background": [("no", "background", "invalid_type")],
    "conversation": [
        (1, "conversation", "invalid_type"),
        ({}, "conversation.id", "missing_required_parameter"),
        ({"id": 1}, "conversation.id", "invalid_type"),
    ],
    "previous_response_id": [
        (1, "previous_response_id", "invalid_type"),
        ({"id": "resp_1"}, "previous_response_id", "invalid_type"),
    ],
    "include": [("x", "include", "invalid_type"), ([1], "include[0]", "invalid_type")],
    "temperature": [("hot", "temperature", "invalid_type"), (-1, "temperature", "decimal_below_min_value")],
    "top_p": [(2, "top_p", "decimal_above_max_value")],
    "top_logprobs": [(0.5, "top_logprobs", "invalid_type"), (-1, "top_logprobs", "integer_below_min_value")],
    "max_output_tokens": [("16", "max_output_tokens", "invalid_type")],
    "max_tool_calls": [(1.5, "max_tool_calls", "invalid_type")],
    "parallel_tool_calls": [(1, "parallel_tool_calls", "invalid_type")],
    "reasoning": [("high", "reasoning", "invalid_type"), ({"effort": 1}, "reasoning.effort", "invalid_type")],
    "text": [
        ("json", "text", "invalid_type"),
        ({"verbosity": 1}, "text.verbosity", "invalid_type"),
        ({"format": {"type": "json_schema", "name": "x"}}, "text.format.schema", "missing_required_parameter"),
    ],
    "truncation": [(True, "truncation", "invalid_type")],
    "metadata": [
        ("x", "metadata", "invalid_type"),
        ({"a": 1}, "metadata.a", "invalid_type"),
        ({"a": "v" * 513}, "metadata.a", "string_above_max_length"),
        ({"k" * 65: "v"}, "metadata." + "k" * 63 + "…", "string_above_max_length"),
        ({str(number): "" for number in range(17)}, "metadata", "object_above_max_properties"),
    ],
    "user": [(1, "user", "invalid_type")],
    "safety_identifier": [(1, "safety_identifier", "invalid_type")],
    "prompt_cache_key": [([], "prompt_cache_key", "invalid_type")],
    "prompt_cache_retention": [(24, "prompt_cache_retention", "invalid_type")],
    "prompt_cache_options": [("x", "prompt_cache_options", "invalid_type")],
    "service_tier": [(1, "service_tier", "invalid_type")],
    "client_metadata": [("x", "client_metadata", "invalid_type")],
    "background_options": [("x", "background_options", "invalid_type")],
    "tools": [("x", "tools", "invalid_type"), ([{"type": "function"}], "tools[0].name", "missing_required_parameter")],
    "tool_choice": [
        ("some", "tool_choice", "invalid_value"),
        ({"type": "function", "name": "gone"}, "tool_choice", "invalid_value"),
    ],
}


def flat(fields: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in fields.items() for value in values]


@pytest.fixture
async def front(agent: Agent, proxy: StartProxy) -> Proxy:
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    return await proxy()


async def respond(front: Proxy, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "owl", "input": "Hi", **fields}).encode()
    received = await front.post(body, path=RESPONSES)
    assert received.status == 200, received.body
    return check_response_body(received.body).response


def passed_on(agent: Agent) -> dict[str, Any]:
    """The fields of the request that the agent got."""
    metadata: dict[str, Any] = agent.exchanges[-1].json["message"].get("metadata") or {}
    return dict(metadata.get("openai") or {})


def test_no_field_is_left_out() -> None:
    described = {*GIVEN, *QUIET, *USED, *REFUSED, *CHOICES}
    assert set(get_type_hints(published.ResponseCreateParamsStreaming)) <= described


@pytest.mark.parametrize(("name", "value"), flat(GIVEN))
async def test_the_agent_gets_it_and_the_response_repeats_it(agent: Agent, front: Proxy, name: str, value: Any) -> None:
    response = await respond(front, **{name: value})
    assert passed_on(agent) == {name: value}
    if name == "text":
        value = {"format": {"type": "text"}, **value}
    assert response[name] == value


@pytest.mark.parametrize(("name", "value"), flat(QUIET))
async def test_the_agent_gets_it_and_the_response_has_none(agent: Agent, front: Proxy, name: str, value: Any) -> None:
    response = await respond(front, **{name: value})
    assert passed_on(agent) == {name: value}
    assert name not in response


@pytest.mark.parametrize(("name", "value"), flat(USED))
async def test_the_proxy_uses_it_itself(agent: Agent, front: Proxy, name: str, value: Any) -> None:
    response = await respond(front, **{name: value})
    assert passed_on(agent) == {}
    if name in ("model", "instructions", "store", "background", "top_logprobs"):
        assert response[name] == value


@pytest.mark.parametrize(("name", "value"), flat(CHOICES))
async def test_tools_and_the_choice_among_them(agent: Agent, front: Proxy, name: str, value: Any) -> None:
    response = await respond(front, **{**WITH_TOOLS, name: value})
    assert passed_on(agent) == {**WITH_TOOLS, name: value}
    echoed = response[name]
    if name == "tools":
        echoed = [{key: each for key, each in tool.items() if each is not None} for tool in echoed]
    assert echoed == value


@pytest.mark.parametrize("name", sorted({*GIVEN, *QUIET, *USED, *REFUSED, *CHOICES} - {"input"}))
async def test_null_is_as_good_as_absent(agent: Agent, front: Proxy, name: str) -> None:
    plain = await respond(front)
    response = await respond(front, **{"model": "owl", name: None})
    assert passed_on(agent) == {}
    ids = ("id", "created_at", "completed_at", "model", "output")
    assert {key: response[key] for key in response if key not in ids} == {
        key: plain[key] for key in plain if key not in ids
    }


@pytest.mark.parametrize(
    ("name", "value", "code"), [(name, *each) for name, values in REFUSED.items() for each in values]
)
async def test_what_no_run_can_give_is_refused(
    agent: Agent, front: Proxy, name: str, value: Any, code: str | None
) -> None:
    """A conversation that is unknown is a 404 without a code, as at OpenAI."""
    received = await front.post(json.dumps({"model": "owl", "input": "Hi", name: value}).encode(), path=RESPONSES)
    error = check_error_body(received.body)
    assert (received.status, error["param"], error["code"]) == (400 if code else 404, name, code)
    assert not agent.runs


@pytest.mark.parametrize(
    ("name", "value", "param", "code"), [(name, *each) for name, values in WRONG.items() for each in values]
)
async def test_values_of_the_wrong_kind_are_refused(
    agent: Agent, front: Proxy, name: str, value: Any, param: str, code: str
) -> None:
    fields = {"model": "owl", "input": "Hi", **(WITH_TOOLS if name == "tool_choice" else {}), name: value}
    received = await front.post(json.dumps(fields).encode(), path=RESPONSES)
    error = check_error_body(received.body)
    assert (received.status, error["code"]) == (400, code)
    assert error["param"] == param or (name == "tool_choice" and error["param"] == "tool_choice.name")
    assert not agent.runs


async def test_a_stored_prompt_in_place_of_input_is_refused_as_such(agent: Agent, front: Proxy) -> None:
    """With such a prompt OpenAI needs no input, so its absence is not the fault."""
    received = await front.post(b'{"model": "owl", "prompt": {"id": "pmpt_1"}}', path="/v1/responses")
    error = check_error_body(received.body)
    assert (received.status, error["param"], error["code"]) == (400, "prompt", "unsupported_parameter")
    assert not agent.exchanges


async def test_a_conversation_together_with_a_previous_response_is_refused(agent: Agent, front: Proxy) -> None:
    body = {"model": "owl", "input": "Hi", "previous_response_id": "resp_1", "conversation": "conv_1"}
    received = await front.post(json.dumps(body).encode(), path=RESPONSES)
    error = check_error_body(received.body)
    assert (received.status, error["param"], error["code"]) == (400, "conversation", "mutually_exclusive_parameters")
    assert not agent.runs


async def test_the_response_repeats_every_field_of_the_reference(front: Proxy) -> None:
    response = await respond(front)
    never = {"access_programs", "conversation", "image", "input_transformations", "moderation", "prompt"}
    never |= {"prompt_cache_diagnostics", "prompt_cache_options", "prompt_cache_retention", "tool_usage"}
    from openai.types.responses import Response

    assert set(Response.model_fields) - set(response) == never
