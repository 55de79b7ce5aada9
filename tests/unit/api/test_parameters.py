"""What of a request's body is passed on to the agent."""

import json
from typing import Any

import pytest

from oaicompat_proxy.api.parameters import NO_TOOLS, TOOLS, find_parameters, with_exact
from oaicompat_proxy.core.json_text import JsonText

USED = frozenset({"model"})


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        ({}, {}),
        ({"top_p": 1, "seed": 0, "user": "", "stop": []}, {"top_p": 1, "seed": 0, "user": "", "stop": []}),
        ({"top_p": None}, {}),
        ({"tools": []}, {}),
        ({"tools": [{"type": "custom"}]}, {"tools": [{"type": "custom"}]}),
    ],
)
def test_parameters_are_the_unused_members_with_a_value(more: dict[str, Any], parameters: dict[str, Any]) -> None:
    members = {"model": "m", **more}
    body = with_exact(json.dumps(members).encode(), members, USED)
    assert find_parameters(body, USED, TOOLS) == (parameters, {})


def test_an_empty_list_says_something_where_no_tools_are_known() -> None:
    body = with_exact(b'{"tools":[]}', {"tools": []}, USED)
    assert find_parameters(body, USED, NO_TOOLS) == ({"tools": []}, {})


def test_only_parameters_are_passed_on_as_they_were_written() -> None:
    text = '{"model":1e999,"seed":123456789012345678901234567890,"tools":[]}'
    body = with_exact(text.encode(), {"model": 0, "seed": 0, "tools": []}, USED)
    parameters, exact = find_parameters(body, USED)
    assert list(parameters) == ["seed"]
    assert exact == {"seed": JsonText("123456789012345678901234567890")}
    assert body.size == len(text)


def test_a_body_without_parameters_is_not_read_again() -> None:
    body = with_exact(b'{"model":1e999}', {"model": 0}, USED)
    assert (body.exact, body.members) == ({}, {"model": 0})
