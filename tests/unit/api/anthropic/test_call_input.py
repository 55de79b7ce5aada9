"""The input of a call is an object."""

import pytest

from oaicompat_proxy.api.anthropic.call_input import parse_input


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
