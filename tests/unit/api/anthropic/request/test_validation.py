"""Faults are named by their path and in the words of the service."""

from typing import Any

import pytest

from oaicompat_proxy.core.errors import InvalidRequest
from tests.support.message_parts import request
from tests.support.parsing import parse_messages

USER = {"role": "user", "content": "Hi"}
KINDS = "Input should be an object whose 'role' is one of 'user', 'assistant', 'system'"


def fault_of(body: bytes) -> str:
    with pytest.raises(InvalidRequest) as raised:
        parse_messages(body, max_media=1000, max_messages=10)
    return raised.value.message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"model": 1}, "model: Input should be a valid string"),
        ({"messages": []}, "messages: List should have at least 1 item after validation, not 0"),
        ({"messages": "Hi"}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "tool", "content": ""}]}, f"messages.0: {KINDS}"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content: Input should be a valid string or a"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text: Field required"),
        (
            {"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "x"}]}]},
            "messages.1.content.0.input: Field required",
        ),
        ({"system": 1}, "system: Input should be a valid string or a valid list"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema: Field required"),
        ({"tools": [1]}, "tools.0: Input should be a valid dictionary"),
        ({"tool_choice": {"type": "some"}}, "tool_choice: Input should be an object whose 'type' is one of 'auto'"),
        ({"temperature": 2.0}, "temperature: Input should be less than or equal to 1"),
        ({"stop_sequences": [1]}, "stop_sequences.0: Input should be a valid string"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id: Input should be a valid string"),
        ({"thinking": {}}, "thinking.type: Field required"),
    ],
)
def test_the_first_fault_is_named(fields: dict[str, Any], message: str) -> None:
    assert fault_of(request(**fields)).startswith(message)


def test_a_message_repeats_no_value_and_no_long_key() -> None:
    assert "secret" not in fault_of(request(model={"secret": "secret"}))


def test_a_missing_field() -> None:
    assert fault_of(b'{"model": "owl"}') == "messages: Field required"


def test_no_json() -> None:
    assert fault_of(b"{").startswith("We could not parse the JSON body of your request.")


def test_limits() -> None:
    assert fault_of(request(*[USER] * 11)) == "messages: List should have at most 10 items after validation, not 11"
    blocks = [{"type": "text", "text": ""}] * 8200
    assert "content blocks together" in fault_of(request({"role": "user", "content": blocks}))
    tools = [{"name": f"t{index}", "input_schema": {}} for index in range(1025)]
    assert fault_of(request(tools=tools)).startswith("tools: List should have at most 1024 items")
