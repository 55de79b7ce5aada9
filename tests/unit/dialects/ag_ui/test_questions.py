"""The question, the tool and its arguments, wherever a framework puts them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.dialects.ag_ui.questions import MAX_QUESTION, Question, read_question

CALL = {"name": "launch", "arguments": {"ship": "Pen Duick", "message": "to the tool"}}
ARGUMENTS = CALL["arguments"]


@pytest.mark.parametrize(
    ("places", "asked"),
    [
        (["Which port?", {"x": 1}], Question("Which port?")),
        (["", {"langgraph": {"raw": "Which port?", "ns": None}}], Question("Which port?")),
        (["", {"langgraph": {"raw": {"question": "Which port?"}}}], Question("Which port?")),
        (
            ["", {"agent_framework": {"function_call": CALL, "value": {"function_call": CALL}}}],
            Question("Allow launch?", "launch", ARGUMENTS),
        ),
        (
            ["", {"mastra": {"toolName": "launch", "suspendPayload": {"q": "Go?"}, "args": {"x": 1}}}],
            Question("Go?", "launch", {"x": 1}),
        ),
        (
            [
                "",
                {"adk": {"originalFunctionCall": {"name": "launch", "args": {}}, "toolConfirmation": {"hint": "Go?"}}},
            ],
            Question("Go?", "launch", {}),
        ),
        (
            ["", {"reason": {"toolName": "launch", "toolInput": {"x": 1}}}],
            Question("Allow launch?", "launch", {"x": 1}),
        ),
        (['{"message":"Go?","tool":"launch","args":"{\\"x\\":1}"}'], Question("Go?", "launch", {"x": 1})),
        (
            [{"action_requests": [{"name": "a", "args": {"x": 1}, "description": "Do a?"}, {"name": "b", "args": {}}]}],
            Question("Do a?", "a, b", [{"x": 1}, {}]),
        ),
        ([{"anything": [1, 2]}], Question("[1, 2]")),
        ([["port", "ship"]], Question('["port", "ship"]')),
        ([0], Question("0")),
        (
            [{"responseSchema": {"description": "not this"}, "prompt": " "}],
            Question('{"responseSchema": {"description": "not this"}, "prompt": " "}'),
        ),
        (["  ", None], Question("  ")),
        ([None], Question("")),
        ([], Question("")),
    ],
)
def test_where_the_question_stands(places: list[Any], asked: Question) -> None:
    assert read_question(*places) == asked


def test_what_a_tool_is_given_is_no_question() -> None:
    assert read_question("", {"x": CALL}).text == "Allow launch?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "args", "message", "raw", "x"]), inner),
)


@given(JSON)
def test_whatever_is_said_is_shown(value: Any) -> None:
    asked = read_question(value)
    assert isinstance(asked.text, str)
    assert asked.text or value in (None, "", {}, []) or isinstance(value, dict | list)


def test_a_long_question_has_an_end() -> None:
    assert len(read_question({"raw": {"a": "x" * 10_000, "b": 1}}).text) == MAX_QUESTION


@pytest.mark.slow
def test_many_tools_cost_no_square() -> None:
    many = [{"name": f"t{number}", "args": {"n": number}} for number in range(20_000)]
    assert len(read_question(many).arguments) == 20_000
    assert json.dumps(read_question([CALL] * 20_000).arguments) == json.dumps(ARGUMENTS)
