"""Declares settings as dataclass fields with a type and a help text, and checks values by their types."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

FORMS: dict[object, str] = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
    Mapping: "a table of texts",
}
"""The form of a value in TOML, for messages, by the basic type of its setting."""


class ConfigError(ValueError):
    """An invalid setting. The message is one line for the person who starts the proxy."""


def field(default: Any, text: str, **more: Any) -> Any:
    """A dataclass field of a setting, with its help text. `metavar`: in the help. `secret`: never shown.

    `gateway`: each gateway may have its own value. `model`: each model may, too. `reload`: SIGHUP changes the value
    without a restart; by default equal to `gateway`.
    """
    metadata = {"help": text, "reload": more.get("gateway", False), **more}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def default_of(each: Field[Any]) -> Any:
    return each.default if each.default is not MISSING else {}


def flag(name: str) -> str:
    """The name of a setting on the command line."""
    return "--" + name.replace("_", "-")


def basic_type(each: Field[Any]) -> object:
    """The setting's type without its conditions: `str`, `int`, `float`, `bool`, `tuple` or `Mapping`."""
    return _basic_type(each.type)


def _basic_type(kind: object) -> object:
    if get_origin(kind) is Annotated:
        return _basic_type(get_args(kind)[0])
    return str if get_origin(kind) is Literal else get_origin(kind) or kind


def choices_of(each: Field[Any]) -> tuple[str, ...]:
    """The only values of the setting, or of each item of a list; empty for a setting of any text."""
    return get_args(each.type) if get_origin(each.type) is Literal else ()


def validate(each: Field[Any], value: object) -> Any:
    """The value in the setting's type. Raises ValueError, whose text follows the setting's name in a message."""
    return _validate(each, value, _adapter_of(each).validate_python)


def parse(each: Field[Any], text: str) -> Any:
    """The value of a text from the command line. Raises ValueError as `validate` does."""
    return _validate(each, text, _adapter_of(each).validate_strings)


def _adapter_of(each: Field[Any]) -> TypeAdapter[Any]:
    kind: Any = each.type
    return _new_adapter(kind)


@cache  # many settings share a type
def _new_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _validate(each: Field[Any], value: object, check: Callable[[Any], Any]) -> Any:
    try:
        return check(value)
    except ValidationError as error:
        text = _error_text(each, error.errors(include_url=False)[0])
    raise ValueError(text)


def _error_text(each: Field[Any], error: ErrorDetails) -> str:
    """The reason, for a message. Quotes the value only if it is a number or a choice: other values may be secrets."""
    match error:
        case {"type": "value_error", "ctx": {"error": problem}}:
            return str(problem)
        case {"type": "greater_than_equal", "ctx": {"ge": least}, "input": value}:
            return f"must be at least {least}, not {value}"
        case {"type": "less_than_equal", "ctx": {"le": most}, "input": value}:
            return f"must be at most {most:.0f}, not {value}"
        case {"type": "literal_error", "input": value}:
            return f"must be one of {', '.join(choices_of(each))}, not {value!r}"
    return f"must be {FORMS[basic_type(each)]}"
