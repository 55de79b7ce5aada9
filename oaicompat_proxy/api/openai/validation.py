"""Validates the types of a request.

`check` validates a parsed body against a schema of `schema/`. The first error in document order becomes an
`InvalidRequest` with the service's `param` path, `code` and wording. A valid body costs one call of pydantic.

Unions are discriminated: `by_json_type` and `by_field` choose the branch by the client's value, so that the reported
error is the one inside that branch. Their tags begin with "|" and are left out of paths; the expected types are in the
error's message.

Source: `api/openai/PROTOCOL.md`, "Bad requests".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BeforeValidator, Discriminator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from ...core.errors import InvalidRequest
from ...core.exact_json import find_excess
from ...core.json_text import JsonText
from .invalid_requests import (
    array_above_max_length,
    clip,
    empty_array,
    invalid_request,
    invalid_type,
    invalid_value,
    listed,
    missing,
    unsupported_word,
)

_TAG = "|"
_TYPE_TAGS: dict[type, str] = {str: "|string", list: "|array", dict: "|object"}
_QUOTED_WORDS = re.compile(r"'([^']*)'")

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
}


def check(schema: TypeAdapter[Any], body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest with the first error of `body`."""
    try:
        schema.validator.validate_python(body, strict=True)
    except ValidationError as exc:
        raise _first_error(exc, body) from None


def check_text(size: int, limit: int, param: str) -> None:
    """Raises InvalidRequest for more than `limit` bytes."""
    if size > limit:
        raise InvalidRequest(
            f"Invalid '{param}': the request holds {size} bytes of text, and this server takes at most {limit}.",
            param=param,
            code="string_above_max_length",
        )


def check_numbers(exact: Mapping[str, JsonText]) -> None:
    """Raises InvalidRequest for a number beyond a double. `exact`: the parameters that are passed on as written."""
    if (name := find_excess(exact)) is not None:
        raise invalid_value(clip(name), "it has a number beyond the range of a double.")


# Discriminators of unions


def by_json_type(*expected: str) -> Discriminator:
    """For branches with different JSON types, tagged `|string`, `|array`, `|object`."""
    return Discriminator(
        lambda value: _TYPE_TAGS.get(type(value)),
        custom_error_type="json_type_mismatch",
        custom_error_message=f"one of {' or '.join(expected)}",
    )


def by_field(field: str, *values: str) -> Discriminator:
    """For branches of objects with different values of `field`, tagged `|<value>`."""
    tags = {value: _TAG + value for value in values}

    def tag(value: Any) -> str | None:
        word = value.get(field) if type(value) is dict else None
        return tags.get(word) if type(word) is str else None

    return Discriminator(
        tag,
        custom_error_type="object_kind",
        custom_error_message=" ".join([field, *(f"'{value}'" for value in values)]),
    )


def at_most(limit: int) -> BeforeValidator:
    """Bounds the members of an object with any keys; checked before the values."""

    def count(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > limit:
            raise PydanticCustomError("too_many_properties", "too many properties", {"max_length": limit})
        return value

    return BeforeValidator(count)


# Converts pydantic's errors: one reader for each type of error of the schemas.

_Reader = Callable[[str, ErrorDetails], InvalidRequest]


def _read_missing(path: str, error: ErrorDetails) -> InvalidRequest:
    return missing(path)


def _read_type(path: str, error: ErrorDetails, *, expected: str) -> InvalidRequest:
    return invalid_type(path, expected, error["input"])


def _read_json_type(path: str, error: ErrorDetails) -> InvalidRequest:
    return invalid_type(path, error["msg"], error["input"])


def _read_object_kind(path: str, error: ErrorDetails) -> InvalidRequest:
    value = error["input"]
    field, _, kinds = error["msg"].partition(" ")
    if not isinstance(value, dict):
        return invalid_type(path, "an object", value)
    if field not in value:
        return missing(f"{path}.{field}")
    return _invalid_word(f"{path}.{field}", value[field], kinds)


def _read_literal(path: str, error: ErrorDetails) -> InvalidRequest:
    return _invalid_word(path, error["input"], error["ctx"]["expected"])


def _invalid_word(path: str, value: Any, quoted_words: str) -> InvalidRequest:
    supported = _QUOTED_WORDS.findall(quoted_words)
    if not isinstance(value, str):
        return invalid_type(path, f"one of {listed(supported, 'or')}", value)
    return unsupported_word(path, value, supported)


def _read_range(path: str, error: ErrorDetails, *, bound: str, code: str, sign: str) -> InvalidRequest:
    """`bound`: pydantic's name for the limit. A limit written as a float is the limit of a decimal."""
    limit = error["ctx"][bound]
    kind = "decimal" if isinstance(limit, float) else "integer"
    wording = code.replace("max", "maximum").replace("min", "minimum").replace("_", " ")
    wanted = f"Expected a value {sign} {_number(limit)}, but got {_number(error['input'])} instead."
    return invalid_request(f"{kind}_{code}", f"Invalid '{path}': {kind} {wording}. {wanted}", path)


def _number(value: float) -> str:
    """The number in a client's notation: 2 rather than 2.0."""
    return clip(repr(value).removesuffix(".0"))


def _read_too_short(path: str, error: ErrorDetails) -> InvalidRequest:
    return empty_array(path)


def _read_too_long(path: str, error: ErrorDetails) -> InvalidRequest:
    return array_above_max_length(path, error["ctx"]["max_length"], len(error["input"]))


def _read_long_string(path: str, error: ErrorDetails) -> InvalidRequest:
    length = len(error["input"])
    limit = error["ctx"]["max_length"]
    wanted = f"Expected a string with maximum length {limit}, but got a string with length {length} instead."
    return invalid_request("string_above_max_length", f"Invalid '{path}': string too long. {wanted}", path)


def _read_short_string(path: str, error: ErrorDetails) -> InvalidRequest:
    limit, length = error["ctx"]["min_length"], len(error["input"])
    wanted = f"Expected a string with minimum length {limit}, but got a string with length {length} instead."
    return invalid_request("string_below_min_length", f"Invalid '{path}': string too short. {wanted}", path)


def _read_pattern(path: str, error: ErrorDetails) -> InvalidRequest:
    wanted = f"Expected a string that matches the pattern '{error['ctx']['pattern']}'."
    return invalid_value(path, f"string does not match pattern. {wanted}")


def _read_properties(path: str, error: ErrorDetails) -> InvalidRequest:
    limit, count = error["ctx"]["max_length"], len(error["input"])
    wanted = f"Expected an object with at most {limit} properties, but got {count} properties instead."
    return invalid_request("object_above_max_properties", f"Invalid '{path}': too many properties. {wanted}", path)


def _read_other(path: str, error: ErrorDetails) -> InvalidRequest:
    """An error type that is not in the table."""
    return invalid_value(path, "the value is not what the API describes.")


_READERS: dict[str, _Reader] = {
    "missing": _read_missing,
    "json_type_mismatch": _read_json_type,
    "object_kind": _read_object_kind,
    "literal_error": _read_literal,
    "greater_than_equal": partial(_read_range, bound="ge", code="below_min_value", sign=">="),
    "less_than_equal": partial(_read_range, bound="le", code="above_max_value", sign="<="),
    "too_short": _read_too_short,
    "too_long": _read_too_long,
    "string_too_long": _read_long_string,
    "string_too_short": _read_short_string,
    "string_pattern_mismatch": _read_pattern,
    "too_many_properties": _read_properties,
    **{kind: partial(_read_type, expected=expected) for kind, expected in _EXPECTED.items()},
}


def _first_error(exc: ValidationError, body: Mapping[str, Any]) -> InvalidRequest:
    found = [(*_locate(error["loc"], body), error) for error in exc.errors(include_url=False)]
    _, path, error = min(found, key=lambda place_path_error: place_path_error[0])
    return _read(error, path)


def _read(error: ErrorDetails, path: str) -> InvalidRequest:
    return _READERS.get(error["type"], _read_other)(path, error)


def _locate(location: tuple[int | str, ...], body: Any) -> tuple[list[int], str]:
    """The position in the document, for sorting, and the path.

    A missing key is sorted after those that exist. An error in a key itself is located at its value with one more
    step, which is not part of the path.
    """
    place: list[int] = []
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
            place.append(step)
            body = body[step]
        elif isinstance(body, dict) and not step.startswith(_TAG):
            path += f".{clip(step)}" if path else clip(step)
            place.append(list(body).index(step) if step in body else len(body))
            body = body.get(step)
    return place, path
