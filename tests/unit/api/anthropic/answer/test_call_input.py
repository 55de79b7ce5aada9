"""The input of a call is an object."""

import json

import pytest

from oaicompat_proxy.api.anthropic.answer.call_input import parse_input
from oaicompat_proxy.core.answer import ToolCallArguments, ToolCallOpened
from tests.support.message_parts import CALLS, body


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        *(
            ("", {}),
            (" \n", {}),
            ('{"a": 1}', {"a": 1}),
            ("[1]", {"arguments": [1]}),
            ("no json", {"arguments": "no json"}),
        ),
        ('{"a": 1' + "[" * 2000, {"arguments": '{"a": 1' + "[" * 2000}),
    ],
)
def test_an_input_is_an_object(arguments: str, value: object) -> None:
    assert parse_input(arguments) == value


@pytest.mark.parametrize("depth", [10, 240, 250, 260, 480, 990, 1010, 2000])
def test_an_input_of_any_depth_is_sent_whole_or_as_its_text(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    message = body(ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, deep), CALLS)
    expected = deep if depth < 250 else json.dumps({"arguments": deep}, separators=(",", ":"))
    assert f'"input":{expected}' in message.decode()
