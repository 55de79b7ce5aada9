import pytest

from oaicompat_proxy.api.openai.responses.request.tools import (
    custom_names,
    parse_tool_names,
    parse_tools,
    server_labels,
)
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.json_text import JsonText
from oaicompat_proxy.core.message import Tool

TIDE = {"type": "function", "name": "tide", "description": "Says how high", "parameters": {"type": "object"}}
BARE = {"type": "function", "name": "moon"}
POEM = {"type": "custom", "name": "poem"}
HOSTED = {"type": "web_search"}
SERVER = {"type": "mcp", "server_label": "owl"}


def names_of(tools, choice=None):
    return parse_tool_names({"tools": tools, "tool_choice": choice})


def test_functions_and_custom_tools_are_the_clients():
    assert names_of([TIDE, BARE, POEM, HOSTED, SERVER]) == {"tide", "moon", "poem"}
    assert parse_tool_names({}) == frozenset()


def test_a_client_may_forbid_all_calls():
    assert names_of([TIDE], "none") == frozenset()


@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "required",
        {"type": "function", "name": "tide"},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "owl"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "tide"}, HOSTED]},
    ],
)
def test_choices_among_what_is_declared(choice):
    assert names_of([TIDE, HOSTED, SERVER], choice) == {"tide"}


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([], "required", "tool_choice"),
        (None, {"type": "function", "name": "tide"}, "tool_choice"),
        ([BARE], {"type": "function", "name": "tide"}, "tool_choice.name"),
        ([TIDE], {"type": "custom", "name": "tide"}, "tool_choice.name"),
        ([TIDE], {"type": "function"}, "tool_choice.name"),
        (
            [TIDE],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "moon"}]},
            "tool_choice.tools[0].name",
        ),
    ],
)
def test_choices_that_make_no_sense(tools, choice, param):
    with pytest.raises(InvalidRequest) as caught:
        names_of(tools, choice)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


def test_declarations_are_neutral():
    free_text = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    tools = [TIDE, BARE, POEM, HOSTED]
    assert parse_tools({"tools": tools}, {}, frozenset({"tide", "moon", "poem"})) == (
        Tool("tide", "Says how high", {"type": "object"}),
        Tool("moon", "", {"type": "object", "properties": {}}),
        Tool("poem", "", free_text),
    )
    assert parse_tools({"tools": tools}, {}, frozenset()) == ()
    assert custom_names({"tools": tools}) == ["poem"]
    assert custom_names({}) == []
    assert server_labels({"tools": [*tools, SERVER, {"type": "mcp"}]}) == ["owl"]


def test_numbers_that_no_value_holds_stay_as_they_are_written():
    tool = {**TIDE, "parameters": {"maximum": 1e300}}
    text = '[{"type":"function","name":"tide","parameters":{"maximum":1e999}},{"type":"web_search"}]'
    tools = parse_tools({"tools": [tool, HOSTED]}, {"tools": JsonText(text)}, frozenset({"tide"}))
    assert tools == (Tool("tide", "Says how high", JsonText('{"maximum":1e999}')),)
