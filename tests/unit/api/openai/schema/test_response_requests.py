"""What the body of a Responses request accepts and refuses, field by field. Items have a test file of their own."""

from typing import Any, get_args, get_type_hints

import openai.types.responses.response_create_params as published
import pytest
from openai.types.responses.tool_param import ToolParam

from oaicompat_proxy.api.openai.schema.requests import MAX_NAME
from oaicompat_proxy.api.openai.schema.response_requests import RESPONSE, ResponseBody
from oaicompat_proxy.api.openai.validation import check
from oaicompat_proxy.core.errors import InvalidRequest


def fault_of(body: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        check(RESPONSE, body)
    return caught.value.param, caught.value.code


def test_every_published_field_is_described() -> None:
    fields = set(get_type_hints(published.ResponseCreateParamsStreaming))
    assert set(get_type_hints(ResponseBody)) == fields | {"client_metadata"}


@pytest.mark.parametrize("field", sorted(set(get_type_hints(ResponseBody)) - {"input"}))
def test_null_is_as_good_as_absent(field: str) -> None:
    check(RESPONSE, {"input": "hi", field: None})


TOOL_TYPES = sorted({word for tool in get_args(ToolParam) for word in get_args(get_type_hints(tool)["type"])})


@pytest.mark.parametrize("kind", [*TOOL_TYPES, "namespace", "something_new"])
def test_tools_of_every_type_are_let_through(kind: str) -> None:
    check(RESPONSE, {"input": "hi", "tools": [{"type": kind, "name": "x", "server_label": "y"}]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 2),
        ("top_p", 0.5),
        ("max_output_tokens", 16),
        ("stream_options", {"include_obfuscation": False}),
        ("tools", [{"type": "function", "name": "tide", "parameters": {}, "strict": True, "description": "x"}]),
        ("tools", [{"type": "function", "name": "tide", "parameters": None, "async": True}]),
        ("tools", [{"type": "custom", "name": "poem", "format": {"type": "text"}}]),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "name": "tide"}),
        ("tool_choice", {"type": "mcp", "server_label": "x"}),
        ("tool_choice", {"type": "web_search"}),
        ("tool_choice", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "tide"}]}),
        ("text", {}),
        ("text", {"format": {"type": "text"}, "verbosity": "low"}),
        ("text", {"format": {"type": "json_schema", "name": "x", "schema": {}, "strict": True}}),
        ("reasoning", {}),
        ("reasoning", {"effort": "high", "summary": "auto"}),
        ("conversation", "conv_1"),
        ("conversation", {"id": "conv_1"}),
        ("include", ["reasoning.encrypted_content", "something.new"]),
        ("prompt", {"id": "pmpt_1"}),
        ("client_metadata", {"turn_id": "1", "more": {"x": []}}),
        ("continuation_id", "unknown fields are let through"),
    ],
)
def test_these_are_right(field: str, value: object) -> None:
    check(RESPONSE, {"input": "hi", field: value})


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": []}, "input", "empty_array"),
        ({"input": "hi", "model": 1}, "model", "invalid_type"),
        ({"input": "hi", "model": "x" * (MAX_NAME + 1)}, "model", "string_above_max_length"),
        ({"input": "hi", "instructions": []}, "instructions", "invalid_type"),
        ({"input": "hi", "temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"input": "hi", "tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"input": "hi", "tools": ["x"]}, "tools[0]", "invalid_type"),
        ({"input": "hi", "tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        (
            {"input": "hi", "tools": [{"type": "function", "function": {}}]},
            "tools[0].name",
            "missing_required_parameter",
        ),
        ({"input": "hi", "tool_choice": "some"}, "tool_choice", "invalid_value"),
        ({"input": "hi", "tool_choice": {}}, "tool_choice.type", "missing_required_parameter"),
        (
            {"input": "hi", "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}},
            "tool_choice.mode",
            "invalid_value",
        ),
        ({"input": "hi", "text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"input": "hi", "text": {"format": {"type": "json_schema", "json_schema": {}}}},
            "text.format.name",
            "missing_required_parameter",
        ),
        ({"input": "hi", "metadata": []}, "metadata", "invalid_type"),
        ({"input": "hi", "include": "x"}, "include", "invalid_type"),
    ],
)
def test_faults_are_named(body: Any, param: str, code: str) -> None:
    assert fault_of(body) == (param, code)
