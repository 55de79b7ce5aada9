import pytest

from oaicompat_proxy.api.openai.schema.requests import CHAT
from oaicompat_proxy.api.openai.validation import check
from oaicompat_proxy.core.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "hi"}]
CHOICE = {"type": "function", "function": {"name": "f"}}
CUSTOM_CHOICE = {"type": "custom", "custom": {"name": "f"}}


def function(**fields):
    return [{"type": "function", "function": fields}]


def custom(**fields):
    return [{"type": "custom", "custom": fields}]


def grammar(**fields):
    return custom(name="f", format={"type": "grammar", "grammar": fields})


def allowed(**fields):
    return {"type": "allowed_tools", "allowed_tools": fields}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", []),
        ("tools", function(name="aZ09_-")),
        ("tools", function(name="a" * 64, description=None, parameters=None, strict=None)),
        ("tools", function(name="a", description="d", parameters={"any": ["thing"]}, strict=True, more=1)),
        ("tools", function(name="a") * 200),
        ("tools", custom(name="any name")),
        ("tools", custom(name="f", description="d", format=None)),
        ("tools", custom(name="f", format={"type": "text"})),
        ("tools", grammar(definition="x", syntax="lark")),
        ("tools", grammar(definition="x", syntax="regex")),
        *(("tool_choice", word) for word in ("none", "auto", "required")),
        ("tool_choice", CHOICE),
        ("tool_choice", CUSTOM_CHOICE),
        ("tool_choice", allowed(mode="auto", tools=[CHOICE, CUSTOM_CHOICE])),
        ("tool_choice", allowed(mode="required", tools=[])),
        ("functions", [{"name": "f"}]),
        ("functions", [{"name": "f", "description": "d", "parameters": {}}] * 128),
        *(("function_call", word) for word in ("none", "auto")),
        ("function_call", {"name": "f"}),
    ],
)
def test_documented_tools_and_choices_pass(field, value):
    check(CHAT, {"messages": MESSAGES, field: value})


@pytest.mark.parametrize(
    ("field", "value", "inner", "code"),
    [
        ("tools", {}, "", "invalid_type"),
        ("tools", ["f"], "[0]", "invalid_type"),
        ("tools", [{}], "[0].type", "missing_required_parameter"),
        ("tools", [{"type": "retrieval"}], "[0].type", "invalid_value"),
        ("tools", [{"type": "function"}], "[0].function", "missing_required_parameter"),
        ("tools", function(), "[0].function.name", "missing_required_parameter"),
        ("tools", function(name=5), "[0].function.name", "invalid_type"),
        ("tools", function(name=""), "[0].function.name", "string_below_min_length"),
        ("tools", function(name="a" * 257), "[0].function.name", "string_above_max_length"),
        ("tools", function(name="a") + function(name=""), "[1].function.name", "string_below_min_length"),
        ("tools", function(name="a", description=5), "[0].function.description", "invalid_type"),
        ("tools", function(name="a", parameters=[]), "[0].function.parameters", "invalid_type"),
        ("tools", function(name="a", strict="yes"), "[0].function.strict", "invalid_type"),
        ("tools", custom(), "[0].custom.name", "missing_required_parameter"),
        ("tools", custom(name="f", format={}), "[0].custom.format.type", "missing_required_parameter"),
        ("tools", custom(name="f", format={"type": "x"}), "[0].custom.format.type", "invalid_value"),
        ("tools", grammar(definition="x", syntax="bnf"), "[0].custom.format.grammar.syntax", "invalid_value"),
        (
            "tools",
            grammar(syntax="lark"),
            "[0].custom.format.grammar.definition",
            "missing_required_parameter",
        ),
        ("tool_choice", 5, "", "invalid_type"),
        ("tool_choice", [], "", "invalid_type"),
        ("tool_choice", "any", "", "invalid_value"),
        ("tool_choice", {}, ".type", "missing_required_parameter"),
        ("tool_choice", {"type": "auto"}, ".type", "invalid_value"),
        ("tool_choice", {"type": "function"}, ".function", "missing_required_parameter"),
        ("tool_choice", {"type": "function", "function": {}}, ".function.name", "missing_required_parameter"),
        ("tool_choice", {"type": "custom", "custom": {"name": 5}}, ".custom.name", "invalid_type"),
        ("tool_choice", allowed(mode="none", tools=[]), ".allowed_tools.mode", "invalid_value"),
        ("tool_choice", allowed(mode="auto"), ".allowed_tools.tools", "missing_required_parameter"),
        (
            "tool_choice",
            allowed(mode="auto", tools=[{"type": "x"}]),
            ".allowed_tools.tools[0].type",
            "invalid_value",
        ),
        ("functions", [{"name": ""}], "[0].name", "string_below_min_length"),
        ("tools", [{"type": "custom", "custom": {"name": ""}}], "[0].custom.name", "string_below_min_length"),
        ("functions", [{"name": "f", "parameters": 5}], "[0].parameters", "invalid_type"),
        ("function_call", "required", "", "invalid_value"),
        ("function_call", {}, ".name", "missing_required_parameter"),
        ("function_call", 5, "", "invalid_type"),
    ],
)
def test_other_tools_and_choices_are_refused_with_their_path(field, value, inner, code):
    with pytest.raises(InvalidRequest) as caught:
        check(CHAT, {"messages": MESSAGES, field: value})
    assert (caught.value.param, caught.value.code) == (field + inner, code)
