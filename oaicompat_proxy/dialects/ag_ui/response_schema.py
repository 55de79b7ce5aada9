"""Reduces, checks and answers an interrupt's `responseSchema`, a subset of JSON Schema.

Source: AG-UI 1.0, `Interrupt.responseSchema`; JSON Schema 2020-12 for the keywords. Keywords that are not in `_CHECKED`
are ignored, since the agent checks them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

MAX_DEPTH = 16
"""Levels of a schema that are kept and checked, at most. The agent checks deeper levels itself."""

DECISION_KEYS = ("approved", "accepted", "confirmed", "approve", "accept", "confirm", "allowed", "allow")
"""Names of the property that holds the decision, the most common first."""

YES_WORDS = (
    "approve",
    "approved",
    "accept",
    "accepted",
    "yes",
    "confirm",
    "confirmed",
    "allow",
    "allowed",
    "ok",
    "y",
    "true",
)
NO_WORDS = ("reject", "rejected", "deny", "denied", "decline", "declined", "no", "disallow", "cancel", "cancelled")

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": int,
}
_COMBINED = ("anyOf", "oneOf", "allOf")
_CHECKED = ("type", "enum", "const", "required", "additionalProperties", "properties", "items", *_COMBINED)


def reduce(schema: Any, depth: int = 0) -> Any:
    """The schema without descriptions, so that it is small enough to be encoded into a call id."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema is not False
    return {key: _reduce_keyword(key, schema[key], depth + 1) for key in _CHECKED if key in schema}


def _reduce_keyword(key: str, value: Any, depth: int) -> Any:
    if key == "properties" and isinstance(value, dict):
        return {name: reduce(each, depth) for name, each in value.items()}
    if key in _COMBINED and isinstance(value, list):
        return [reduce(each, depth) for each in value]
    if key in ("items", "additionalProperties"):
        return reduce(value, depth)
    return value


def allows(schema: Any, value: Any) -> bool:
    """Whether the value has the right type and only keys that the schema allows."""
    if not isinstance(schema, Mapping):
        return schema is not False
    if "const" in schema and not _is_equal(schema["const"], value):
        return False
    if isinstance(schema.get("enum"), list) and not any(_is_equal(each, value) for each in schema["enum"]):
        return False
    return _has_type(schema.get("type"), value) and _fits_inside(schema, value) and _fits_combined(schema, value)


def _is_equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _has_type(wanted: Any, value: Any) -> bool:
    names = wanted if isinstance(wanted, list) else [wanted]
    return not any(name in _TYPES for name in names if isinstance(name, str)) or any(
        _is_of(name, value) for name in names
    )


def _is_of(name: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return bool(name == "boolean")
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(name, str) and name in _TYPES and isinstance(value, _TYPES[name])


def _fits_inside(schema: Schema, value: Any) -> bool:
    if isinstance(value, list):
        return all(allows(schema.get("items", True), each) for each in value)
    if not isinstance(value, dict):
        return True
    known = properties_of(schema)
    if any(key not in value for key in _required_of(schema)):
        return False
    others = schema.get("additionalProperties", True)
    return all(allows(known.get(key, others), each) for key, each in value.items())


def _fits_combined(schema: Schema, value: Any) -> bool:
    parts = {key: schema[key] for key in _COMBINED if isinstance(schema.get(key), list) and schema[key]}
    return all(
        all(allows(each, value) for each in parts[key])
        if key == "allOf"
        else any(allows(each, value) for each in parts[key])
        for key in parts
    )


def properties_of(schema: Any) -> Mapping[str, Any]:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _required_of(schema: Schema) -> list[str]:
    required = schema.get("required")
    return [key for key in required if isinstance(key, str)] if isinstance(required, list) else []


def is_object(schema: Any) -> bool:
    """Whether the schema's values are objects."""
    return isinstance(schema, Mapping) and (schema.get("type") == "object" or bool(properties_of(schema)))


def decision_key(schema: Any) -> str | None:
    """The property that holds the decision; None if there is none."""
    known = properties_of(schema)
    usual = [key for key in DECISION_KEYS if key in known and decide(known[key], confirmed=True) is not None]
    required = [key for key in usual if key in _required_of(schema)]
    booleans = [key for key, each in known.items() if isinstance(each, Mapping) and each.get("type") == "boolean"]
    choices = [key for key, each in known.items() if _has_both_words(each)]
    return next(iter([*required, *usual, *(booleans if len(booleans) == 1 else []), *choices]), None)


def _has_both_words(schema: Any) -> bool:
    return (
        isinstance(schema, Mapping)
        and "enum" in schema
        and None
        not in (
            decide(schema, confirmed=True),
            decide(schema, confirmed=False),
        )
    )


def decide(schema: Any, *, confirmed: bool) -> Any:
    """The decision as a value that the schema allows: a boolean or one of its words; None if it allows neither."""
    if allows(schema, confirmed):
        return confirmed
    words = schema.get("enum") if isinstance(schema, Mapping) else None
    listed = [each for each in words if isinstance(each, str)] if isinstance(words, list) else []
    return next((each for each in listed if each.lower() in (YES_WORDS if confirmed else NO_WORDS)), None)


def takes_decision(schema: Any) -> bool:
    """Whether a yes or no is a complete answer. `schema`: None if the agent gives none."""
    if schema is None:
        return True
    if is_object(schema):
        return decision_key(schema) is not None or not properties_of(schema)
    return decide(schema, confirmed=True) is not None
