import pytest

from oaicompat_proxy.api.openai.chat.tool_choice import parse_tool_names
from oaicompat_proxy.core.errors import InvalidRequest

TIDE = {"type": "function", "function": {"name": "tide"}}
POEM = {"type": "custom", "custom": {"name": "poem"}}
BOTH = {"tools": [TIDE, POEM]}
OLD = {"functions": [{"name": "tide"}, {"name": "moon"}]}


def allowed(*tools):
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(tools)}}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, set()),
        ({"tools": None, "functions": None, "tool_choice": None, "function_call": None}, set()),
        ({"tools": [], "tool_choice": "auto"}, set()),
        ({"tool_choice": "none"}, set()),
        (BOTH, {"tide", "poem"}),
        (BOTH | {"tool_choice": "auto"}, {"tide", "poem"}),
        (BOTH | {"tool_choice": "required"}, {"tide", "poem"}),
        (BOTH | {"tool_choice": "none"}, set()),
        (BOTH | {"tool_choice": TIDE}, {"tide", "poem"}),
        (BOTH | {"tool_choice": POEM}, {"tide", "poem"}),
        (BOTH | {"tool_choice": allowed(POEM)}, {"tide", "poem"}),
        (OLD, {"tide", "moon"}),
        (OLD | {"function_call": "auto"}, {"tide", "moon"}),
        (OLD | {"function_call": {"name": "moon"}}, {"tide", "moon"}),
        (OLD | {"function_call": "none"}, set()),
        (OLD | {"tools": []}, {"tide", "moon"}),
    ],
)
def test_names_of_the_tools_that_are_the_clients(body, names):
    assert parse_tool_names(body) == names


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": TIDE}, "tool_choice", "invalid_value"),
        ({"tools": [], "tool_choice": TIDE}, "tool_choice", "invalid_value"),
        (OLD | {"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [POEM], "tool_choice": TIDE}, "tool_choice.function.name", "invalid_value"),
        (
            {"tools": [TIDE], "tool_choice": {"type": "custom", "custom": {"name": "tide"}}},
            "tool_choice.custom.name",
            "invalid_value",
        ),
        (
            {"tools": [TIDE], "tool_choice": allowed(TIDE, POEM)},
            "tool_choice.allowed_tools.tools[1].custom.name",
            "invalid_value",
        ),
        ({"function_call": {"name": "tide"}}, "function_call.name", "invalid_value"),
        (OLD | {"function_call": {"name": "sun"}}, "function_call.name", "invalid_value"),
        (BOTH | OLD, "functions", "invalid_parameter_combination"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(body, param, code):
    with pytest.raises(InvalidRequest) as caught:
        parse_tool_names(body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_long_name_is_not_repeated_whole():
    body = {"functions": [{"name": "a"}], "function_call": {"name": "b" * 1000}}
    with pytest.raises(InvalidRequest) as caught:
        parse_tool_names(body)
    assert len(caught.value.message) < 200
