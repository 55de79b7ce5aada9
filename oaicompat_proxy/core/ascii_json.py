"""Encodes JSON for agents: on one line, in ASCII, with `JsonText` values unchanged.

ASCII, because a gateway that decodes each packet separately breaks characters of several bytes.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any

import orjson

from .json_text import JsonText


def encode(value: Any) -> bytes:
    """Raises TypeError for values that JSON does not have."""
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:
        return _encode_odd(value)
    return encoded if encoded.isascii() else _ENCODER.encode(value).encode("ascii")


def _encode_odd(value: Any) -> bytes:
    """Encodes values with `JsonText`, or with integers and characters that orjson rejects."""
    try:
        return _escape(orjson.dumps(value, _as_written, orjson.OPT_PASSTHROUGH_DATACLASS).decode())
    except orjson.JSONEncodeError:
        return _ENCODER.encode(value).encode("ascii")


def _escape(text: str) -> bytes:
    """The same JSON in ASCII. Quotes and backslashes pass the encoder as control characters, which JSON never has:
    the C encoder escapes the rest at many times the speed of a loop over characters.
    """
    escaped = encode_basestring_ascii(text.replace('"', "\1").replace("\\", "\2"))[1:-1]
    return escaped.replace("\\u0001", '"').replace("\\u0002", "\\").encode("ascii")


def _as_written(value: Any) -> orjson.Fragment:
    """The text on one line. Its line ends stand only between tokens, because JSON strings cannot contain them."""
    if not isinstance(value, JsonText):
        raise TypeError(type(value).__name__)
    return orjson.Fragment(value.text.replace("\n", " ").replace("\r", " ").replace("\t", " "))


def _as_parsed(value: Any) -> Any:
    if not isinstance(value, JsonText):
        raise TypeError(type(value).__name__)
    return json.loads(value.text)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_as_parsed)
