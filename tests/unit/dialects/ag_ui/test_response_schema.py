"""JSON Schema of an answer: reduced, checked, and answered with a yes or no."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.dialects.ag_ui.response_schema import allows, decide, decision_key, reduce, takes_decision

APPROVAL = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "boolean"}, [True, False], [1, "true", None]),
        ({"type": "integer"}, [1, -3, 2.0], [1.5, True, "1"]),
        ({"type": "number"}, [1, 1.5], [True, "1"]),
        ({"type": "string"}, ["", "x"], [1, None, ["x"]]),
        ({"type": ["string", "null"]}, ["x", None], [0]),
        ({"enum": ["a", 1]}, ["a", 1], ["b", True]),
        ({"const": 0}, [0], [False, 1]),
        ({"type": "array", "items": {"type": "string"}}, [[], ["x"]], [["x", 1], "x"]),
        (APPROVAL, [{"approved": True}, {"approved": False, "more": 1}], [{}, {"approved": "yes"}, True]),
        (CLOSED, [{}, {"n": 1}], [{"n": "1"}, {"n": 1, "m": 2}]),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}, {"b": 1}], [{}]),
        ({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1, "b": 1}], [{"a": 1}]),
        ({"properties": {"x": {"properties": {"y": {"type": "null"}}}}}, [{"x": {"y": None}}], [{"x": {"y": 0}}]),
        ({}, [None, 1, "x", {}], []),
        (False, [], [None, {}]),
        ({"type": "unheard of"}, [1], []),
        ({"type": 7, "enum": 7, "required": 7, "properties": 7, "anyOf": 7}, [{}], []),
    ],
)
def test_what_a_schema_allows(schema: Any, good: list[Any], bad: list[Any]) -> None:
    for reduced in (schema, reduce(schema)):
        assert [value for value in good if not allows(reduced, value)] == []
        assert [value for value in bad if allows(reduced, value)] == []


def test_what_is_only_for_people_is_not_carried_along() -> None:
    schema = {"$schema": "x", "title": "t", "properties": {"title": {"type": "string", "description": "d"}}}
    assert reduce(schema) == {"properties": {"title": {"type": "string"}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "enum", "items", "required", "x"]), inner),
)


@given(JSON, JSON)
def test_any_schema_and_any_value_can_be_compared(schema: Any, value: Any) -> None:
    reduced = json.loads(json.dumps(reduce(schema)))
    assert allows(reduced, value) in (True, False)
    decision_key(reduced)
    decide(reduced, confirmed=True)


def test_a_schema_of_any_depth_is_reduced() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"items": deep}
    assert len(json.dumps(reduce(deep))) < 500


@pytest.mark.parametrize(
    ("properties", "key"),
    [
        ({"approved": {"type": "boolean"}, "accepted": {"type": "boolean"}}, "approved"),
        ({"confirmed": {"type": "boolean"}, "note": {"type": "string"}}, "confirmed"),
        ({"go": {"type": "boolean"}}, "go"),
        ({"go": {"type": "boolean"}, "wait": {"type": "boolean"}}, None),
        ({"decision": {"enum": ["approve", "edit", "reject"]}}, "decision"),
        ({"port": {"type": "string"}}, None),
        ({"approved": {"type": "string"}}, None),
        ({}, None),
    ],
)
def test_which_property_takes_the_yes_or_no(properties: dict[str, Any], key: str | None) -> None:
    assert decision_key({"type": "object", "properties": properties}) == key


def test_a_required_key_comes_before_its_alias() -> None:
    both = {"approved": {"type": "boolean"}, "accepted": {"type": "boolean"}}
    assert decision_key({"properties": both, "required": ["accepted"]}) == "accepted"


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"type": "boolean"}, True, False),
        ({"enum": ["Approve", "Reject", "Later"]}, "Approve", "Reject"),
        ({"type": "string"}, None, None),
        ({"const": True}, True, None),
        ({"enum": 7}, True, False),
    ],
)
def test_a_yes_and_a_no_in_the_schemas_own_words(schema: Any, yes: Any, no: Any) -> None:
    assert (decide(schema, confirmed=True), decide(schema, confirmed=False)) == (yes, no)


@pytest.mark.parametrize(
    ("schema", "takes"),
    [
        (None, True),
        (APPROVAL, True),
        ({"type": "object"}, True),
        ({"type": "boolean"}, True),
        ({"enum": ["yes", "no"]}, True),
        ({"enum": ["red", "green"]}, False),
        ({"type": "string"}, False),
        ({"type": "object", "properties": {"port": {"type": "string"}}}, False),
    ],
)
def test_whether_a_yes_or_no_will_do(schema: Any, takes: bool) -> None:
    assert takes_decision(schema) is takes


@pytest.mark.parametrize("required", [True, 7, "approved", {"approved": 1}, [["approved"]], [{}, None]])
def test_a_list_of_required_keys_of_another_shape_requires_nothing(required: Any) -> None:
    schema = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": required}
    assert allows(schema, {})
    assert decision_key(schema) == "approved"
