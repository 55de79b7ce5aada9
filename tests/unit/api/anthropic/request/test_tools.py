"""Whose tools they are, and the client's choice among them."""

from typing import Any

import pytest

from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.json_text import JsonText
from oaicompat_proxy.core.message import Tool
from oaicompat_proxy.core.request import AgentRequest
from tests.support.message_parts import request
from tests.support.parsing import parse_messages

TIDE = {"name": "tide", "description": "x", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def asked(**fields: Any) -> AgentRequest:
    return parse_messages(request(**fields), max_media=0, max_messages=9)


def test_custom_tools_are_the_clients_and_others_are_passed_on() -> None:
    found = asked(tools=[TIDE, {**TIDE, "type": "custom", "name": "moon", "description": None}, SEARCH])
    assert found.tool_names == {"tide", "moon"}
    assert found.tools == (Tool("tide", "x", {"type": "object"}), Tool("moon", "", {"type": "object"}))
    assert SEARCH in found.parameters["tools"]


def test_a_client_may_forbid_all_calls() -> None:
    found = asked(tools=[TIDE], tool_choice={"type": "none"})
    assert (found.tool_names, found.tools) == (frozenset(), ())


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "tide"}])
def test_a_choice_that_can_be_met(choice: dict[str, str]) -> None:
    assert asked(tools=[TIDE], tool_choice=choice).parameters["tool_choice"] == choice


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"tool_choice": {"type": "any"}}, "tool_choice: it may only be specified while providing tools"),
        (
            {"tools": [TIDE], "tool_choice": {"type": "tool", "name": "moon"}},
            "tool_choice: Tool 'moon' not found in provided tools",
        ),
    ],
)
def test_a_choice_that_cannot_be_met(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(**fields)
    assert raised.value.message == fault


def test_a_schema_with_an_odd_number_is_sent_as_written() -> None:
    schema = '{"maximum": 123456789012345678901234567890}'
    body = request(tools=[TIDE]).replace(b'{"type": "object"}', schema.encode())
    (tool,) = parse_messages(body, max_media=0, max_messages=9).tools
    assert tool.parameters == JsonText(schema)


def test_an_empty_list_is_not_passed_on() -> None:
    assert "tools" not in asked(tools=[]).parameters
