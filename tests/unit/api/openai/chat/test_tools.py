"""Declarations of tools as a client writes them become tools that agents can take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.api.openai.chat.tools import NO_ARGUMENTS
from oaicompat_proxy.api.openai.custom_tools import FREE_TEXT
from oaicompat_proxy.core.json_text import JsonText
from oaicompat_proxy.core.message import Tool
from oaicompat_proxy.core.request import AgentRequest
from tests.support.parsing import parse_chat

TIDE = {"name": "tide", "description": "Tide table", "parameters": {"type": "object"}}


def request(**fields: Any) -> AgentRequest:
    body = {"model": "owl", "messages": [{"role": "user", "content": "?"}], **fields}
    return parse_chat(json.dumps(body).encode(), max_media=0, max_messages=10)


@pytest.mark.parametrize(
    ("fields", "tools"),
    [
        ({}, ()),
        ({"tools": [{"type": "function", "function": TIDE}]}, (Tool("tide", "Tide table", {"type": "object"}),)),
        ({"tools": [{"type": "function", "function": {"name": "tide"}}]}, (Tool("tide", "", NO_ARGUMENTS),)),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, (Tool("sql", "", FREE_TEXT),)),
        ({"functions": [TIDE]}, (Tool("tide", "Tide table", {"type": "object"}),)),
        ({"tools": [{"type": "function", "function": TIDE}], "tool_choice": "none"}, ()),
        ({"functions": [TIDE], "function_call": "none"}, ()),
    ],
)
def test_the_tools_are_those_that_the_agent_may_call(fields: dict[str, Any], tools: tuple[Tool, ...]) -> None:
    assert request(**fields).tools == tools


@pytest.mark.parametrize(("key", "wrap"), [("functions", "%s"), ("tools", '{"type":"function","function":%s}')])
def test_a_schema_with_an_exact_number_stays_as_it_is_written(key: str, wrap: str) -> None:
    """The other tool of the request too: the numbers of one text are kept or parsed together."""
    schema = '{"type":"object","properties":{"id":{"const":123456789012345678901234567890}}}'
    declared = [wrap % f'{{"name":"find","parameters":{schema}}}', wrap % '{"name":"tide"}']
    body = f'{{"messages":[{{"role":"user","content":"?"}}],"{key}":[{",".join(declared)}]}}'
    parsed = parse_chat(body.encode(), max_media=0, max_messages=10)
    assert parsed.tools == (Tool("find", "", JsonText(schema)), Tool("tide", "", NO_ARGUMENTS))
