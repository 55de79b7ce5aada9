"""An answer is held to its schema: the library is the judge, and an error says where without a word of the answer."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry

from oaicompat_proxy.core.errors import AgentOutputInvalid
from oaicompat_proxy.translation.structured.json_schema import BRIEF_SIZE, MAX_ANSWER, AnswerSchema, AnyObject

NAMES = st.sampled_from(["a", "b", "ab", "c"])
NUMBERS = st.integers(-3, 5) | st.sampled_from([0.5, 1.0, 2.5, -1.0])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
PATTERNS = st.sampled_from(["a", "^a", "b$", "^(a|b)+$", "[0-9]"])
COUNTS = st.integers(0, 3)
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    schemas, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=4),
            "const": VALUES,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "minLength": COUNTS,
            "maxLength": COUNTS,
            "pattern": PATTERNS,
            "items": inner,
            "contains": inner,
            "minItems": COUNTS,
            "uniqueItems": st.booleans(),
            "properties": named,
            "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "maxProperties": COUNTS,
            "allOf": schemas,
            "anyOf": schemas,
            "oneOf": schemas,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": st.sampled_from(["#/$defs/one", "#/$defs/two"]),
        },
    )


LEAVES = st.booleans() | TYPES.map(lambda name: {"type": name}) | VALUES.map(lambda value: {"const": value})
SCHEMAS = st.recursive(LEAVES, keywords, max_leaves=8)


@st.composite
def whole_schemas(draw: st.DrawFn) -> dict[str, Any]:
    """With two definitions that refer to nothing, so that no schema is an endless one."""
    schema = draw(keywords(SCHEMAS))
    return {**schema, "$defs": {"one": draw(LEAVES), "two": draw(LEAVES)}}


def fits(schema: Any, text: str) -> bool:
    try:
        AnswerSchema(schema).check(text)
    except AgentOutputInvalid:
        return False
    return True


@given(whole_schemas(), VALUES, st.sampled_from([(DRAFT_2020, jsonschema.Draft202012Validator)]))
def test_it_agrees_with_the_library(schema: dict[str, Any], value: Any, draft: tuple[str, Any]) -> None:
    _check_agreement(schema, value, *draft)


@pytest.mark.slow
@given(whole_schemas(), VALUES)
def test_it_agrees_in_an_older_draft(schema: dict[str, Any], value: Any) -> None:
    _check_agreement(schema, value, DRAFT_7, jsonschema.Draft7Validator)


def _check_agreement(schema: dict[str, Any], value: Any, draft: str, judge: Any) -> None:
    judged = judge(schema, registry=Registry()).is_valid(value)
    assert fits({**schema, "$schema": draft}, json.dumps(value)) == judged


TREE = {
    "$id": "https://example.com/tree.json",
    "$ref": "https://example.com/tree.json#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "more/~": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["name"],
            "additionalProperties": {"type": "integer"},
        }
    },
}


@pytest.mark.parametrize(
    ("answer", "place", "rule"),
    [
        ({"name": 3}, "/name", "'type'"),
        ([], "its top", "'type'"),
        ({"name": "a", "more/~": [{"name": "b"}, {}]}, "/more~1~0/1", "'required': 'name' is missing"),
        ({"name": "a", "Alice": "secret"}, "/*", "'type'"),
        ({"name": "a", "more/~": [{"name": None}]}, "/more~1~0/0/name", "'type'"),
    ],
)
def test_an_error_says_where_and_shows_nothing_of_the_answer(answer: Any, place: str, rule: str) -> None:
    with pytest.raises(AgentOutputInvalid) as caught:
        AnswerSchema(TREE).check(json.dumps(answer))
    message = caught.value.message
    assert f"at {place} it breaks {rule}." in message
    assert "Alice" not in message
    assert "secret" not in message
    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (502, "agent_output_invalid", False)


def test_a_deep_place_is_cut() -> None:
    answer: Any = 1
    for _ in range(40):
        answer = {"a-long-name": answer}
    with pytest.raises(AgentOutputInvalid) as caught:
        AnswerSchema({"properties": {"a-long-name": {"$ref": "#"}}, "type": "object"}).check(json.dumps(answer))
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("text", ["", "Brest", "{", "{}{}", "NaN", "[1,]", '```json\n{"name": "a"}\n```'])
def test_what_is_no_json_is_an_error(text: str) -> None:
    for check in (AnswerSchema(True), AnyObject()):
        with pytest.raises(AgentOutputInvalid, match="is not JSON"):
            check.check(text)


def test_any_object_is_an_object() -> None:
    assert AnyObject().check_briefly(' {"a": [1]} ')
    for text in ("[]", '"a"', "null", "3"):
        with pytest.raises(AgentOutputInvalid, match="an object is asked for"):
            AnyObject().check(text)


def test_a_long_answer_is_not_checked_in_passing() -> None:
    text = json.dumps("a" * BRIEF_SIZE)
    assert not AnswerSchema(True).check_briefly(text)
    assert not AnyObject().check_briefly(text)
    AnswerSchema(True).check(text)
    with pytest.raises(AgentOutputInvalid, match="is longer than"):
        AnswerSchema(True).check(json.dumps("a" * MAX_ANSWER))
