import json
import time
from typing import Any

import orjson
import pytest

from oaicompat_proxy.api.openai.responses.request import request
from oaicompat_proxy.api.openai.responses.storage.stored_answer import EARLIER_ITEMS
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.json_text import JsonText
from oaicompat_proxy.core.message import Message, Text, Tool
from oaicompat_proxy.core.request import AgentRequest, RequestLimits
from tests.support.parsing import parse_responses

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "name": "tide", "parameters": {"type": "object"}}


def parse(body: Any, max_media: int = 1000, max_messages: int = 100) -> AgentRequest:
    return parse_responses(orjson.dumps(body), max_media=max_media, max_messages=max_messages)


def fault_of(body: Any, **limits: int) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        parse(body, **limits)
    return caught.value.param, caught.value.code


def test_minimal_request() -> None:
    assert parse({"input": "hi"}) == AgentRequest(
        model="",
        messages=(Message("user", (Text("hi"),)),),
        stream=False,
        tool_names=frozenset(),
        parameters={},
        metadata_key="openai",
        tool_parameters=frozenset({"tools"}),
        form={"echo": {}, "custom_tools": [], "server_labels": [], "stored": True},
        stored_input=b'[{"role":"user","content":"hi"}]',
        continuable=True,
    )


def test_full_request() -> None:
    passed_on = {
        "temperature": 0,
        "max_output_tokens": 16,
        "tools": [TOOL, {"type": "custom", "name": "poem"}, {"type": "mcp", "server_label": "owl"}],
        "tool_choice": "auto",
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "metadata": {"a": "b"},
        "user": "u",
        "prompt_cache_key": "k",
        "client_metadata": {"turn_id": "1"},
        "truncation": "auto",
        "continuation_id": "unknown",
    }
    used = {
        "model": "owl",
        "input": [USER],
        "instructions": "Be brief.",
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "background": False,
        "top_logprobs": 0,
    }
    asked = parse({**passed_on, **used, "service_tier": None})
    assert (asked.model, asked.stream, asked.parameters) == ("owl", True, passed_on)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.tool_names == {"tide", "poem"}
    assert asked.tools[0] == Tool("tide", "", {"type": "object"})
    assert (asked.form["stored"], asked.stored_input) == (False, b"")
    assert (asked.form["custom_tools"], asked.form["server_labels"]) == (["poem"], ["owl"])
    assert asked.form["echo"]["instructions"] == "Be brief."
    assert asked.form["echo"]["tools"] == passed_on["tools"]
    assert "client_metadata" not in asked.form["echo"]


def test_an_empty_array_of_tools_is_none() -> None:
    assert parse({"input": "hi", "tools": []}).parameters == {}


def test_numbers_stay_as_they_were_written() -> None:
    tools = b'[{"type":"function","name":"f","parameters":{"x":1e-999}}]'
    body = b'{"input":"hi","seed":12345678901234567890123,"tools":%b}' % tools
    asked = parse_responses(body, max_media=0, max_messages=1)
    assert asked.exact["seed"] == JsonText("12345678901234567890123")
    assert asked.tools[0].parameters == JsonText('{"x":1e-999}')


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": "hi", "prompt": {"id": "x"}}, "prompt", "unsupported_parameter"),
        ({"input": "hi", "background": True, "store": False}, "background", "invalid_value"),
        ({"input": "hi", "n": 2}, "n", "unsupported_value"),
        ({"input": [{"type": "thought"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": ""}]}, "input[0].call_id", None),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].image_url",
            "invalid_value",
        ),
        ({"input": [USER] * 101}, "input", "array_above_max_length"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}] * 9000}]}, "input", "array_above_max_length"),
        ({"input": [USER, *[{"type": "reasoning"}] * 9000]}, "input", "array_above_max_length"),
        ({"input": "hi", "tools": [TOOL] * 1025}, "tools", "array_above_max_length"),
        ({"input": "x" * (8 * 1024 * 1024)}, "input", "string_above_max_length"),
    ],
)
def test_faults_are_named(body: Any, param: str, code: str | None) -> None:
    assert fault_of(body) == (param, code)


def test_earlier_items_come_from_the_server_alone() -> None:
    result = {"type": "function_call_output", "call_id": "x", "output": ""}
    assert fault_of({"input": [USER, result], EARLIER_ITEMS: 2})[0] == "input[1].call_id"


@pytest.mark.slow
def test_a_large_body_takes_time_by_its_size() -> None:
    limits = RequestLimits(media=1000, messages=20_000, parts=50_000, text=1 << 30, values=1_000_000)

    def took(count: int) -> float:
        items = [{"role": "user", "content": [{"type": "input_text", "text": "x" * 100}]}] * count
        body = json.dumps({"input": items}).encode()
        start = time.process_time()
        request.build_request(request.read(body, limits), limits)
        return time.process_time() - start

    assert min(took(10_000) for _ in range(3)) < 40 * min(took(1000) for _ in range(3))
