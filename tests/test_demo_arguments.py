"""Arguments made from schemas."""

from typing import Any

import pytest

from oaicompat_proxy.demo.arguments import DEEPEST, arguments


def of(**properties: Any) -> dict[str, Any]:
    return arguments({"type": "object", "properties": properties})


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


def test_strings_without_a_known_name() -> None:
    assert of(whatever={"type": "string"}) == {"whatever": "example"}


def test_references() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/none"}}}
    assert arguments({**schema, "$defs": {"n": {"type": "integer"}}}) == {"a": 1, "b": None}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    value: Any = arguments({"type": "object", "properties": {"again": {"$ref": "#"}}})
    for _ in range(DEEPEST):
        value = value and value["again"]
    assert value is None


@pytest.mark.parametrize("schema", [{}, {"type": "string"}, {"type": "object"}])
def test_arguments_are_always_an_object(schema: dict[str, Any]) -> None:
    assert arguments(schema) == {}
