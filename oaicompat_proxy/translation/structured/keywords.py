"""The keywords of the `jsonschema` library, each of which counts the steps that it takes.

Keywords that search patterns, follow references or compare every item with every other have own implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from jsonschema import validators
from jsonschema.exceptions import ValidationError

from .json_values import Text, nodes_of
from .steps import CURRENT

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
"""The library's signature: validator, the keyword's value, the answer's value, the schema → errors."""

DRAFTS = {
    "http://json-schema.org/draft-04/schema": validators.Draft4Validator,
    "http://json-schema.org/draft-06/schema": validators.Draft6Validator,
    "http://json-schema.org/draft-07/schema": validators.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": validators.Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": validators.Draft202012Validator,
}
NEWEST = "https://json-schema.org/draft/2020-12/schema"

VALUES_A_STEP = 4
"""Comparisons of values, or look-ups of names, that take as long as one step."""

_PLAIN = frozenset(
    {
        *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
        *("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"),
        *("required", "dependentRequired"),
    }
)
"""Keywords that apply no other keyword. Their cost depends on their own value, not on the answer."""

_OF_ITEMS = frozenset({"items", "additionalItems", "contains", "propertyNames"})
"""Keywords that apply to each item or name of the answer."""


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not wanted or not isinstance(instance, list):
        return
    CURRENT.get().count(nodes_of(instance) // VALUES_A_STEP)
    if len({orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}) < len(instance):
        yield ValidationError("items are not unique")


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError("does not match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, subschema, path=name)


def _property_names(validator: Any, subschema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in instance:
            yield from validator.descend(Text(name), subschema)


def _additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    CURRENT.get().count(len(instance) // VALUES_A_STEP)
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name not in named and not any(_matches(pattern, name) for pattern in patterns):
            if wanted is False:
                yield ValidationError("not allowed")
                return
            yield from validator.descend(value, wanted, path=name)


def _ref(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    yield from validator.descend(instance, reference.schema)


def _matches(pattern: Any, text: str) -> bool:
    CURRENT.get().count(pattern.steps(text))
    return bool(pattern.matches(text))


_OWN: Mapping[str, Keyword] = {
    "uniqueItems": _unique_items,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "propertyNames": _property_names,
    "$ref": _ref,
    "additionalProperties": _additional_properties,
}


def _count(name: str, keyword: Keyword) -> Keyword:
    """The same keyword, with its steps counted."""
    looks_at_items = name in _OF_ITEMS

    def plain(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        CURRENT.get().count(1 + nodes_of(value) // VALUES_A_STEP)
        return keyword(validator, value, instance, schema)

    def applying(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        steps = CURRENT.get()
        looked_at = instance if looks_at_items else value
        steps.count(1 + (len(looked_at) // VALUES_A_STEP if isinstance(looked_at, (list, dict)) else 0))
        steps.enter()
        try:
            for error in keyword(validator, value, instance, schema) or ():
                steps.count(1)  # each error passes through all keywords around the one that it breaks
                yield error
        finally:
            steps.leave()

    return plain if name in _PLAIN else applying


def _counting(draft: Any) -> Any:
    keywords = {**draft.VALIDATORS, **{name: own for name, own in _OWN.items() if name in draft.VALIDATORS}}
    return validators.extend(draft, {name: _count(name, keyword) for name, keyword in keywords.items()})


COUNTING: Mapping[str, Any] = {name: _counting(draft) for name, draft in DRAFTS.items()}
"""The validator of each draft, by the name that a schema gives in `$schema`."""
