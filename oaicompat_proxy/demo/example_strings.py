"""A plausible string for a property of a JSON Schema, of a length that it allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .example_numbers import is_number
from .plain_patterns import example_of

LONGEST = 10_000
"""Characters, whatever the schema asks for."""

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
ANY = "example"


def example_string(schema: Mapping[str, Any], name: str) -> str:
    """Of a pattern that is not a plain one, the length is right at least."""
    form, pattern = schema.get("format"), schema.get("pattern")
    if isinstance(form, str) and form in BY_FORMAT:
        return _fitted(BY_FORMAT[form], schema)
    if isinstance(pattern, str):
        least = schema.get("minLength")
        said = example_of(pattern, int(max(0, min(least, LONGEST))) if is_number(least) else 0)
        if said is not None:
            return said
    return _fitted(BY_NAME.get(name.lower(), ANY), schema)


def fits_length(text: str, schema: Mapping[str, Any]) -> bool:
    least, most = schema.get("minLength"), schema.get("maxLength")
    return not (is_number(least) and len(text) < least) and not (is_number(most) and len(text) > most)


def _fitted(text: str, schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if is_number(least) and len(text) < least:
        text = (text + " " + "example " * int(min(least, LONGEST)))[: int(min(least, LONGEST))]
        text = text[:-1] + "e" if text.endswith(" ") else text
    return text[: int(most)] if is_number(most) and most >= 0 else text
