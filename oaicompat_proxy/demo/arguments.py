"""Plausible arguments for a tool, made from the JSON Schema of its parameters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 8
"""Schemas may refer to themselves; below this nothing more is filled in."""

BY_TYPE: Mapping[str, Any] = {"number": 1, "integer": 1, "boolean": True, "null": None}
STRINGS = {
    "city": "Paris",
    "location": "Paris",
    "place": "Paris",
    "country": "France",
    "unit": "C",
    "language": "en",
    "date": "2026-03-14",
    "time": "12:00",
    "email": "ada@example.com",
    "url": "https://example.com/",
    "path": "README.md",
    "command": "ls",
    "name": "Ada",
}
ANY_STRING = "example"


def arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    value = _Example(schema).value(schema, "", 0)
    return value if isinstance(value, dict) else {}


class _Example:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            return None
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if schema.get(key):
                return schema[key][0]
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), name, depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return self.value(schema[key][0], name, depth + 1)
        return self._by_type(schema, name, depth)

    def _by_type(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        type_ = schema.get("type")
        if isinstance(type_, list):
            type_ = type_[0]
        if type_ == "object" or "properties" in schema:
            properties = schema.get("properties") or {}
            return {key: self.value(part, key, depth + 1) for key, part in properties.items()}
        if type_ == "array":
            return [self.value(schema.get("items", {}), name, depth + 1)]
        if isinstance(type_, str) and type_ in BY_TYPE:
            return schema.get("minimum", BY_TYPE[type_])
        return STRINGS.get(name.lower(), ANY_STRING)

    def _resolve(self, reference: str) -> Any:
        node: Any = self._root
        for key in reference.removeprefix("#/").split("/"):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node
