"""Copies a schema: only keywords that are applied, patterns compiled, references resolved. A reference leads to a place
of the same schema, so nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from .json_values import TooDeep, wrap
from .keywords import DRAFTS, NEWEST
from .patterns import Pattern, UnsupportedPattern
from .schema_types import SCHEMA, TAG

MAX_SUBSCHEMAS = 5000
"""Equal to the number of properties that OpenAI's service accepts in a schema."""

MAX_DEPTH = 64
"""Nesting depth of schemas."""

MAX_NAME = 256
"""Characters of a property's name."""

MAX_REFERENCE = 1024
"""Characters of a reference."""

MAX_SHOWN = 64
"""Characters of a client's value, or steps of a path, that an error repeats."""

UNSUPPORTED = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")

_VALUES = frozenset(
    {
        *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
        *("maxLength", "minLength", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"),
        *("required", "maxProperties", "minProperties"),
    }
)
_SCHEMA = frozenset(
    {
        *("items", "additionalItems", "contains", "additionalProperties", "propertyNames"),
        *("not", "if", "then", "else"),
    }
)
_SCHEMAS = frozenset({"prefixItems", "items", "allOf", "anyOf", "oneOf"})
_NAMED = frozenset({"properties", "dependentSchemas", "dependencies"})


class InvalidSchema(ValueError):
    """The text is the reason: the schema breaks the standard, exceeds a limit, or needs an unsupported keyword."""


class Reference:
    """The target of a `$ref` in the copy. An object, because schemas may refer to themselves."""

    __slots__ = ("schema",)

    def __init__(self) -> None:
        self.schema: Any = True


class SchemaCopy:
    """The copy of one schema. Raises InvalidSchema."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        _check_form(schema)
        self._root = schema
        self._id = schema.get("$id", "") if isinstance(schema, dict) else ""
        self.draft = _draft_of(schema)
        """The schema's draft: a key of `keywords.DRAFTS`."""
        self.names: set[str] = set()
        """The names of properties that the schema mentions."""
        # state
        self._copied = 0
        self._references: dict[str, Reference] = {}
        """By JSON pointer."""
        self._waiting: list[str] = []
        self.schema = {"$ref": self._refer("#")}
        self._follow_references()

    def _follow_references(self) -> None:
        """Copies the targets of all references, beginning with the schema itself; a copy may add further references."""
        while self._waiting:
            pointer = self._waiting.pop()
            self._references[pointer].schema = self._copy(self._find(pointer), MAX_DEPTH, is_root=not pointer)

    def _refer(self, reference: str) -> Reference:
        if len(reference) > MAX_REFERENCE:
            raise InvalidSchema(f"a reference has more than {MAX_REFERENCE} characters")
        place = reference.removeprefix(self._id.removesuffix("#")) if self._id else reference
        if place not in ("", "#") and not place.startswith("#/"):
            raise InvalidSchema(
                f"the reference {_clip(reference)} leads out of the schema or to an anchor; a reference is '#' or "
                "begins with '#/', since nothing is fetched"
            )
        pointer = unquote(place[1:])
        if pointer not in self._references:
            self._references[pointer] = Reference()
            self._waiting.append(pointer)
        return self._references[pointer]

    def _find(self, pointer: str) -> Any:
        """The value at the JSON pointer (RFC 6901)."""
        found: Any = self._root
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise InvalidSchema(f"the reference {_clip('#' + pointer)} leads nowhere")
        if pointer:
            _check_form(found)
        return found

    def _copy(self, schema: Any, depth: int, *, is_root: bool = False) -> Any:
        self._copied += 1
        if self._copied > MAX_SUBSCHEMAS:
            raise InvalidSchema(f"it has more than {MAX_SUBSCHEMAS} schemas, with those that it refers to")
        if isinstance(schema, bool):
            return schema
        if not depth:
            raise InvalidSchema(f"its schemas are nested more than {MAX_DEPTH} deep")
        for keyword in UNSUPPORTED:
            if keyword in schema:
                raise InvalidSchema(f"{keyword!r} is not supported")
        if not is_root and "$id" in schema:
            raise InvalidSchema("'$id' is only supported at its top")
        copy = {name: _COPIES[name](self, value, depth - 1) for name, value in schema.items() if name in _COPIES}
        self.names.update(schema.get("properties", ()), schema.get("required", ()))
        return copy

    def copy_value(self, value: Any, depth: int) -> Any:
        try:
            return wrap(value)
        except TooDeep:
            raise InvalidSchema("a value in it nests arrays and objects too deep") from None

    def copy_schemas(self, value: Any, depth: int) -> Any:
        """One schema, or an array of them."""
        return [self._copy(each, depth) for each in value] if isinstance(value, list) else self._copy(value, depth)

    def copy_named(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """A mapping of property names to schemas, or to lists of names."""
        _check_names(value)
        return {
            name: self.copy_value(each, depth) if isinstance(each, list) else self._copy(each, depth)
            for name, each in value.items()
        }

    def copy_required(self, value: Mapping[str, Any], depth: int) -> Any:
        _check_names(value)
        return self.copy_value(value, depth)

    def copy_pattern(self, value: str, depth: int) -> Pattern:
        try:
            return Pattern(value)
        except UnsupportedPattern:
            raise InvalidSchema(
                f"RE2 does not support the pattern {_clip(value)}; it has neither lookaround nor backreferences"
            ) from None

    def copy_patterns(self, value: Mapping[str, Any], depth: int) -> dict[Pattern, Any]:
        return {self.copy_pattern(pattern, depth): self._copy(each, depth) for pattern, each in value.items()}

    def copy_reference(self, value: str, depth: int) -> Reference:
        return self._refer(value)


_COPIES: Mapping[str, Callable[[SchemaCopy, Any, int], Any]] = {
    **dict.fromkeys(_VALUES, SchemaCopy.copy_value),
    **dict.fromkeys(_SCHEMA | _SCHEMAS, SchemaCopy.copy_schemas),
    **dict.fromkeys(_NAMED, SchemaCopy.copy_named),
    "dependentRequired": SchemaCopy.copy_required,
    "pattern": SchemaCopy.copy_pattern,
    "patternProperties": SchemaCopy.copy_patterns,
    "$ref": SchemaCopy.copy_reference,
}
"""How each keyword that is applied is copied; all other keywords are left out."""


def _check_form(schema: Any) -> None:
    try:
        SCHEMA.validator.validate_python(schema, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        steps = [str(step)[:MAX_SHOWN] for step in first["loc"] if not str(step).startswith(TAG)]
        place = "".join(f"/{step}" for step in steps[:MAX_SHOWN])
        raise InvalidSchema(f"{first['msg']}, at {place}" if place else first["msg"]) from None


def _check_names(named: Mapping[str, Any]) -> None:
    if any(len(name) > MAX_NAME for name in named):
        raise InvalidSchema(f"a property's name has more than {MAX_NAME} characters")


def _draft_of(schema: Mapping[str, Any] | bool) -> str:
    named = schema.get("$schema", NEWEST) if isinstance(schema, dict) else NEWEST
    draft = named.removesuffix("#").replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")
    if draft not in DRAFTS:
        raise InvalidSchema(f"'$schema' names no draft that is known here: {_clip(named)}")
    return draft


def _clip(value: str) -> str:
    return repr(value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…")
