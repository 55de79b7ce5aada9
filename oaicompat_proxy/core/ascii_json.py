"""JSON for agents: on one line, in ASCII (a gateway that decodes each packet by itself breaks no character then), and
with texts of the client's that stay as they are written.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any

import orjson

from .json_text import JsonText


def encode(value: Any) -> bytes:
    """Raises TypeError for what is no JSON."""
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:
        return _encode_odd(value)
    return encoded if encoded.isascii() else _ENCODER.encode(value).encode("ascii")


def _encode_odd(value: Any) -> bytes:
    """With texts that stay as they are, or with integers and characters that the faster library does not take."""
    try:
        return _escape(orjson.dumps(value, _as_written, orjson.OPT_PASSTHROUGH_DATACLASS).decode())
    except orjson.JSONEncodeError:
        return _ENCODER.encode(value).encode("ascii")


def _escape(text: str) -> bytes:
    """The same JSON in ASCII. Quotes and backslashes hide from the encoder as control characters, which JSON has none
    of: it escapes the rest, at many times the speed of anything that looks at each character.
    """
    escaped = encode_basestring_ascii(text.replace('"', "\1").replace("\\", "\2"))[1:-1]
    return escaped.replace("\\u0001", '"').replace("\\u0002", "\\").encode("ascii")


def _as_written(value: Any) -> orjson.Fragment:
    """White space that breaks lines stands between tokens only: in strings JSON has none."""
    if not isinstance(value, JsonText):
        raise TypeError(type(value).__name__)
    return orjson.Fragment(value.text.replace("\n", " ").replace("\r", " ").replace("\t", " "))


def _as_parsed(value: Any) -> Any:
    if not isinstance(value, JsonText):
        raise TypeError(type(value).__name__)
    return json.loads(value.text)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_as_parsed)
