"""A schema that cannot be applied is refused, with the reason; nothing is ever fetched."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from oaicompat_proxy.translation.structured.schema_copy import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_REFERENCE,
    MAX_SUBSCHEMAS,
    UNSUPPORTED,
    InvalidSchema,
    SchemaCopy,
)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (3, "Should be a schema"),
        ({"type": "strin"}, "at /type"),
        ({"properties": {"a": {"type": 3}}}, "at /properties/a/type"),
        ({"properties": {"a": 3}}, "Should be a schema: an object or a boolean, at /properties/a"),
        ({"items": [{"maxLength": -1}]}, "at /items/0/maxLength"),
        ({"required": "a"}, "at /required"),
        ({"pattern": "(?=a)"}, "neither lookaround nor backreferences"),
        ({"pattern": r"(a)\1"}, "neither lookaround nor backreferences"),
        ({"patternProperties": {"(": True}}, "RE2 does not support the pattern"),
        ({"pattern": "(a{1000}){1000}"}, "RE2 does not support the pattern"),
        ({"$ref": "https://example.com/a.json"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": "http://json-schema.org/draft-07/schema#"}, "nothing is fetched"),
        ({"$ref": "other.json"}, "nothing is fetched"),
        ({"$ref": "#anchor"}, "nothing is fetched"),
        ({"$ref": "#/$defs/a"}, "leads nowhere"),
        ({"$ref": "#/enum/0", "enum": [{"type": "strin"}]}, "at /type"),
        ({"$ref": "#/x/1", "x": [True]}, "leads nowhere"),
        ({"$ref": "#" + "/a" * MAX_REFERENCE}, "characters"),
        ({"$schema": "https://example.com/my-draft"}, "names no draft"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "'$id' is only supported at its top"),
        ({"properties": {"a" * (MAX_NAME + 1): True}}, "name has more than"),
        ({"allOf": [True] * (MAX_SUBSCHEMAS + 1)}, "more than 5000 schemas"),
        (nested(MAX_DEPTH + 1), "deep"),
        (nested(1000), "depth"),
        ({"enum": [[[]] * 3, nested(200)]}, "too deep"),
        *(({"items": {keyword: True}}, f"'{keyword}' is not supported") for keyword in UNSUPPORTED),
    ],
)
def test_what_cannot_be_applied_is_refused(schema: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a schema fetches nothing")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(InvalidSchema) as caught:
        SchemaCopy(schema)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}], "additionalItems": False},
        {"$schema": "http://json-schema.org/draft-04/schema", "maximum": 3, "exclusiveMaximum": True},
        {"properties": {"$ref": {"type": "string"}, "$id": {}, "unevaluatedItems": {}}},
        {"const": {"$ref": "https://example.com", "$schema": 3}, "format": "email", "x-order": 3},
        {"$ref": "#/components/a%20b", "components": {"a b": {"pattern": r"^\u00e9\/\d+$"}}},
        {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}, "$schema": "http://json-schema.org/draft-06/schema#"},
    ],
)
def test_what_other_keywords_hold_does_not_matter(schema: Any) -> None:
    SchemaCopy(schema)


def test_names_of_properties_are_known() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/b"}},
        "required": ["c"],
        "$defs": {"b": {"properties": {"d": True}}},
    }
    assert SchemaCopy(schema).names == {"a", "c", "d"}
