"""Arguments made from schemas."""

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from oaicompat_proxy.demo.example_arguments import MAX_DEPTH, example_arguments


def of(**properties: Any) -> dict[str, Any]:
    return example_arguments({"type": "object", "properties": properties})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Paris"),
        ({"type": "integer"}, 1),
        ({"type": "number", "minimum": 5}, 5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "Paris"),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 3, "type": "integer"}, 3),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "examples": ["e"]}, "e"),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "object", "properties": {"b": {"type": "boolean"}}}, {"b": True}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        (True, None),
    ],
)
def test_a_property(schema: Any, value: Any) -> None:
    assert of(city=schema) == {"city": value}


BOUNDED = {
    "type": "object",
    "required": ["unnamed", "count"],
    "minProperties": 9,
    "properties": {
        "count": {"type": "integer", "minimum": 1, "exclusiveMinimum": 1, "maximum": 9, "multipleOf": 3},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "code": {"type": "string", "minLength": 12, "maxLength": 12},
        "list": {"type": "array", "minItems": 3, "maxItems": 3, "uniqueItems": True, "items": {"type": "integer"}},
        "words": {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"type": "string", "maxLength": 3}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "minItems": 2},
        "level": {"type": "integer", "default": 0, "minimum": 2},
        "choice": {"enum": [1, 5, 9], "minimum": 4},
        "both": {"minimum": 3, "allOf": [{"type": "integer"}, {"$ref": "#/$defs/small"}, {"exclusiveMinimum": 3}]},
        "either": {"minimum": 5, "anyOf": [{"type": "null"}, {"type": "integer", "minimum": 7}]},
        "linked": {"$ref": "#/$defs/a~1b", "maximum": -2},
        "map": {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer", "minimum": 4}},
        "maybe": {"type": ["null", "integer"], "minimum": 4},
        "untyped": {"minimum": 12},
        "empty": {"type": "array", "maxItems": 0, "items": {"type": "string"}},
        "tight": {"type": "object", "maxProperties": 1, "required": ["b"], "properties": {"a": {}, "b": {}}},
    },
    "$defs": {"small": {"maximum": 4}, "a/b": {"type": "integer", "minimum": -9}},
}


def test_all_bounds_hold_at_once() -> None:
    Draft202012Validator.check_schema(BOUNDED)
    Draft202012Validator(BOUNDED).validate(example_arguments(BOUNDED))


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, [5], {"a": 1}, 1e308, True])
def test_a_schema_of_any_shape_does_no_harm(odd: Any) -> None:
    """A client may send anything as the parameters of its tool."""
    keys = ["type", "properties", "required", "enum", "examples", "items", "prefixItems", "minItems", "maxItems"]
    keys += ["minimum", "maximum", "exclusiveMinimum", "multipleOf", "minLength", "maxLength", "pattern", "format"]
    keys += ["anyOf", "oneOf", "allOf", "$ref", "minProperties", "maxProperties", "additionalProperties", "uniqueItems"]
    for key in keys:
        for kind in ("string", "integer", "number", "array", "object"):
            json.dumps(example_arguments({"properties": {"a": {"type": kind, key: odd}}}))


def test_strings_without_a_known_name() -> None:
    assert of(whatever={"type": "string"}) == {"whatever": "example"}


def test_references() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/none"}}}
    assert example_arguments({**schema, "$defs": {"n": {"type": "integer"}}}) == {"a": 1, "b": None}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    value: Any = example_arguments({"type": "object", "properties": {"again": {"$ref": "#"}}})
    for _ in range(MAX_DEPTH):
        value = value and value["again"]
    assert value is None


@pytest.mark.parametrize("schema", [{}, {"type": "string"}, {"type": "object"}])
def test_arguments_are_always_an_object(schema: dict[str, Any]) -> None:
    assert example_arguments(schema) == {}


def test_schemas_that_multiply_come_to_an_end() -> None:
    many = [{"$ref": "#"}] * 100
    began = time.process_time()
    for schema in ({"allOf": many}, {"properties": {str(n): {"$ref": "#"} for n in range(100)}}):
        json.dumps(example_arguments(schema))
    assert time.process_time() - began < 1
