"""What the input of a Responses request accepts and refuses, item by item."""

from typing import Any, get_args, get_type_hints

import pytest
from openai.types.responses.response_input_item_param import ResponseInputItemParam

from oaicompat_proxy.api.openai.schema.response_items import type_of
from oaicompat_proxy.api.openai.schema.response_requests import RESPONSE
from oaicompat_proxy.api.openai.validation import check
from oaicompat_proxy.core.errors import InvalidRequest

PUBLISHED = {
    word: item for item in get_args(ResponseInputItemParam) for word in get_args(get_type_hints(item)["type"]) if word
}
FIELDS = {
    "role": "user",
    "content": "x",
    "call_id": "c",
    "name": "n",
    "id": "i",
    "approval_request_id": "mcpr_x",
    "approve": True,
}


def fault_of(*items: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        check(RESPONSE, {"input": list(items)})
    return caught.value.param, caught.value.code


@pytest.mark.parametrize("kind", sorted(set(PUBLISHED) - {type(None)}, key=str))
def test_items_of_every_published_type_are_let_through(kind: Any) -> None:
    if isinstance(kind, str):
        check(RESPONSE, {"input": [{"type": kind, **FIELDS}]})


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "x"},
        {"role": "developer", "content": [{"type": "input_text", "text": "x"}]},
        {"role": "system", "content": "", "type": None},
        {"role": "assistant"},
        {"role": "assistant", "content": None},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [
                {"type": "output_text", "text": "x", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"role": "user", "content": [{"type": "input_image", "image_url": "http://x", "detail": "auto"}]},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file_1", "image_url": None}]},
        {"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]},
        {"type": "function_call", "call_id": "c", "name": "tide", "arguments": "{}", "id": "fc_1", "namespace": "x"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False, "reason": None},
        {"type": None, "id": "msg_1"},
        {"type": "acme:telemetry", "anything": [1]},
    ],
)
def test_these_are_right(item: Any) -> None:
    check(RESPONSE, {"input": [item]})


@pytest.mark.parametrize(
    ("item", "param", "code"),
    [
        ("x", "input[1]", "invalid_type"),
        ({}, "input[1].type", "missing_required_parameter"),
        ({"type": "thought"}, "input[1].type", "invalid_value"),
        ({"type": 1}, "input[1].type", "invalid_type"),
        ({"type": "message"}, "input[1].role", "missing_required_parameter"),
        ({"role": "tool", "content": "x"}, "input[1].role", "invalid_value"),
        ({"role": "user"}, "input[1].content", "missing_required_parameter"),
        ({"role": "user", "content": []}, "input[1].content", "empty_array"),
        ({"role": "user", "content": [{"type": "text", "text": "x"}]}, "input[1].content[0].type", "invalid_value"),
        (
            {"role": "user", "content": [{"type": "input_text"}]},
            "input[1].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]},
            "input[1].content[0].image_url",
            "invalid_type",
        ),
        ({"type": "function_call", "name": "x"}, "input[1].call_id", "missing_required_parameter"),
        ({"type": "function_call_output", "output": "x"}, "input[1].call_id", "missing_required_parameter"),
        (
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": "yes"},
            "input[1].approve",
            "invalid_type",
        ),
        ({"type": "item_reference"}, "input[1].id", "missing_required_parameter"),
    ],
)
def test_faults_are_named(item: Any, param: str, code: str) -> None:
    assert fault_of({"role": "user", "content": "x"}, item) == (param, code)


def test_a_type_that_is_not_said() -> None:
    assert type_of({"role": "user"}) == "message"
    assert type_of({"id": "x"}) == "item_reference"
    assert type_of({"type": ["x"]}) is None
    assert type_of([]) is None
