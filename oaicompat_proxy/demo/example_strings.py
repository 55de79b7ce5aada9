"""Generates an example string for a property of a JSON Schema, of a length within its bounds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .example_numbers import is_number
from .plain_patterns import matching_string

MAX_LENGTH = 10_000
"""Characters of a string, at most, whatever the schema asks for."""

BY_NAME = {
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
BY_FORMAT = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/example",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "json-pointer": "/example",
    "regex": "example",
}
FALLBACK = "example"


def example_string(schema: Mapping[str, Any], name: str) -> str:
    """A string of the schema's format, else its pattern, else by the property's name.

    If the pattern is not a simple one, only the length is right.
    """
    form, pattern = schema.get("format"), schema.get("pattern")
    if isinstance(form, str) and form in BY_FORMAT:
        return _fit_length(BY_FORMAT[form], schema)
    if isinstance(pattern, str):
        least = schema.get("minLength")
        text = matching_string(pattern, int(max(0, min(least, MAX_LENGTH))) if is_number(least) else 0)
        if text is not None:
            return text
    return _fit_length(BY_NAME.get(name.lower(), FALLBACK), schema)


def fits_length(text: str, schema: Mapping[str, Any]) -> bool:
    least, most = schema.get("minLength"), schema.get("maxLength")
    return not (is_number(least) and len(text) < least) and not (is_number(most) and len(text) > most)


def _fit_length(text: str, schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if is_number(least) and len(text) < least:
        text = (text + " " + "example " * int(min(least, MAX_LENGTH)))[: int(min(least, MAX_LENGTH))]
        text = text[:-1] + "e" if text.endswith(" ") else text
    return text[: int(most)] if is_number(most) and most >= 0 else text
