"""Errors of invalid requests, worded as OpenAI does.

Source: `api/openai/PROTOCOL.md`, "Bad requests".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.errors import InvalidRequest

MAX_QUOTED = 64
"""Characters of a client's value that an error message repeats."""

_FOUND = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
}
"""The words for the types of JSON values."""


def invalid_request(code: str, message: str, path: str) -> InvalidRequest:
    return InvalidRequest(message, param=path or None, code=code)


def missing(path: str) -> InvalidRequest:
    return invalid_request("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def invalid_type(path: str, expected: str, value: Any) -> InvalidRequest:
    found = _FOUND.get(type(value), "something else")
    message = f"Invalid type for '{path}': expected {expected}, but got {found} instead."
    return invalid_request("invalid_type", message, path)


def unsupported_word(path: str, value: str, supported: Sequence[str]) -> InvalidRequest:
    message = f"Invalid value: '{clip(value)}'. Supported values are: {listed(supported, 'and')}."
    return invalid_request("invalid_value", message, path)


def invalid_value(path: str, reason: str) -> InvalidRequest:
    return invalid_request("invalid_value", f"Invalid '{path}': {reason}", path)


def empty_array(path: str) -> InvalidRequest:
    message = "empty array. Expected an array with minimum length 1, but got an empty array instead."
    return invalid_request("empty_array", f"Invalid '{path}': {message}", path)


def array_above_max_length(path: str, limit: int, length: int) -> InvalidRequest:
    wanted = f"Expected an array with maximum length {limit}, but got an array with length {length} instead."
    return invalid_request("array_above_max_length", f"Invalid '{path}': array too long. {wanted}", path)


def clip(value: str) -> str:
    return value if len(value) <= MAX_QUOTED else value[: MAX_QUOTED - 1] + "…"


def listed(words: Sequence[str], joint: str) -> str:
    """'a'; 'a' and 'b'; 'a', 'b', and 'c'."""
    *others, last = [f"'{word}'" for word in words]
    if not others:
        return last
    comma = "," if len(others) > 1 else ""
    return f"{', '.join(others)}{comma} {joint} {last}"
