"""Generates example arguments for a tool from the JSON Schema of its parameters, within the schema's bounds. Pure.

Source: JSON Schema, draft 2020-12, "Validation", with draft 4's boolean `exclusiveMinimum` and `exclusiveMaximum`.
Ignored, since they need a search: `pattern` beyond the simplest, `not`, `if`, `dependentSchemas`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .example_numbers import example_number, is_in_bounds, is_number
from .example_strings import example_string, fits_length

MAX_DEPTH = 8
"""Levels of nesting that are generated. A schema may refer to itself."""

MAX_ITEMS = 100
"""Items of an array, and unnamed properties of an object, at most, whatever the schema asks for."""

MAX_SCHEMAS = 5_000
"""Subschemas visited for one call, at most. Schemas that refer to each other multiply."""

_KEYWORDS_OF_TYPE = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "contains"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
}
"""Keywords from which the type is inferred if the schema has no `type`."""


def example_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    value = _Example(schema).value(schema, "", 0)
    return value if isinstance(value, dict) else {}


class _Example:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        # state
        self._left = MAX_SCHEMAS

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH or self._left < 0:
            return None
        if "$ref" in schema:
            depth += 1
            if not isinstance(self._resolve(schema["$ref"]), Mapping):
                return None
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]
        given = [schema["default"]] if "default" in schema else []
        for key in ("enum", "examples"):
            given += schema[key] if isinstance(schema.get(key), list) else []
        for value in given:
            if _is_in_bounds(value, schema):
                return value
        return self._by_type(schema, name, depth)

    def _merged(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """The schema with the bounds of its `$ref`, of all of `allOf`, and of one choice of `anyOf` and `oneOf`."""
        found = [self._resolve(schema["$ref"])] if "$ref" in schema else []
        for key in ("anyOf", "oneOf"):
            found += _first_choice(schema.get(key))
        found += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
        merged = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
        for part in found:
            self._left -= 1
            if isinstance(part, Mapping) and depth <= MAX_DEPTH and self._left > 0:
                merged = _intersection(merged, self._merged(part, depth + 1))
        return merged

    def _by_type(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return example_number(schema, is_integer=True)
            case "number":
                return example_number(schema, is_integer=False)
            case "boolean":
                return True
            case "null":
                return None
        return example_string(schema, name)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        parts = dict(properties) if isinstance(properties, Mapping) else {}
        rest = schema.get("additionalProperties")
        for name in [*_strings_of(schema.get("required")), *(f"key{n}" for n in range(1, MAX_ITEMS + 1))]:
            is_required = name in _strings_of(schema.get("required"))
            if name not in parts and (is_required or len(parts) < _bounded_count(schema, "minProperties")):
                parts[name] = rest if isinstance(rest, Mapping) else {}
        kept = _limit_properties(parts, _strings_of(schema.get("required")), schema.get("maxProperties"))
        return {name: self.value(part, name, depth + 1) for name, part in kept.items()}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems")
        parts = list(prefix) if isinstance(prefix, list) else []
        rest = schema.get("items", schema.get("contains", {}))
        least = max(_bounded_count(schema, "minItems"), 0 if parts else 1)
        parts += [rest] * (least - len(parts))
        most = schema.get("maxItems")
        parts = parts[: int(max(0, min(most, MAX_ITEMS))) if is_number(most) else MAX_ITEMS]
        items = [self.value(part, name, depth + 1) for part in parts]
        return [_distinct(item, number) for number, item in enumerate(items)] if schema.get("uniqueItems") else items

    def _resolve(self, reference: Any) -> Any:
        node: Any = self._root
        for key in str(reference).removeprefix("#").strip("/").split("/"):
            if key:
                node = node.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
        return node


def _is_in_bounds(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value that the schema proposes (`default`, `enum`, `examples`) is within its bounds."""
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    if is_number(value):
        return is_in_bounds(value, schema)
    return fits_length(value, schema) if isinstance(value, str) else True


def _first_choice(choices: Any) -> list[Any]:
    """The first choice that is not null, else null."""
    if not isinstance(choices, list):
        return []
    return sorted(choices[:MAX_ITEMS], key=lambda choice: choice == {"type": "null"})[:1]


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    return next((kind for kind, keys in _KEYWORDS_OF_TYPE.items() if not schema.keys().isdisjoint(keys)), "string")


_LOWER_BOUNDS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER_BOUNDS = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}


def _intersection(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the bounds of both."""
    merged = {**other, **one}
    for key in one.keys() & other.keys():
        mine, theirs = one[key], other[key]
        if key == "properties" and isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            shared = mine.keys() & theirs.keys()
            both = {name: {"allOf": [mine[name], theirs[name]]} for name in shared}
            merged[key] = {**theirs, **mine, **both}
        elif key == "required":
            merged[key] = [*_strings_of(mine), *_strings_of(theirs)]
        elif key == "enum" and isinstance(mine, list) and isinstance(theirs, list):
            merged[key] = [each for each in mine if each in theirs] or mine
        elif key in _LOWER_BOUNDS and is_number(mine) and is_number(theirs):
            merged[key] = max(mine, theirs)
        elif key in _UPPER_BOUNDS and is_number(mine) and is_number(theirs):
            merged[key] = min(mine, theirs)
        elif key == "type":
            merged[key] = _common_type(mine, theirs)
    return merged


def _common_type(one: Any, other: Any) -> Any:
    ones, others = ([each] if isinstance(each, str) else list(each or ()) for each in (one, other))
    if {"integer", "number"} <= {*ones, *others}:
        return "integer"
    return [each for each in ones if each in others] or one


def _strings_of(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _bounded_count(schema: Mapping[str, Any], key: str) -> int:
    value = schema.get(key, 0)
    return min(int(value), MAX_ITEMS) if is_number(value) else 0


def _limit_properties(parts: dict[str, Any], required: list[str], most: Any) -> dict[str, Any]:
    """At most `most` properties, the required ones first."""
    if not is_number(most) or len(parts) <= most:
        return parts
    order = sorted(parts, key=lambda name: name not in required)[: int(most)]
    return {name: parts[name] for name in parts if name in order}


def _distinct(item: Any, number: int) -> Any:
    """A variant of the item for its place in an array of unique items, where a small change makes one."""
    if number == 0 or isinstance(item, bool) or item is None:
        return item
    if isinstance(item, int | float):
        return item + number
    return f"{item[: -len(str(number))]}{number}" if isinstance(item, str) and item else item
