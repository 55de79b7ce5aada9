"""Passes JSON values on as the client wrote them, where parsing would change them.

Numbers beyond 64 bits or with more digits than a double holds, `-0`, and escaped halves of surrogate pairs are JSON
(RFC 8259 sections 6 and 8.2), but the values of no parser represent all of them. The JSON text of such a parameter is
passed on instead of its value. Most bodies have none, and the search for them is cheap beside parsing.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from .json_text import JsonText

MAX_DIGITS = 305
"""Digits of the longest integer that is read exactly. A longer one is cut to its first digits: it fits a double, and is
above 1e300."""

MAX_READ_DIGITS = 309
"""Digits of the largest double."""

_LONG_NUMBER = b"0" * 16
_LONGEST_NUMBER = b"0" * MAX_READ_DIGITS
_EXPONENTS_ABOVE = (b"0e000", b"0e+000")
_LARGE_EXPONENTS = (*_EXPONENTS_ABOVE, b"0e-000")
"""Exponents with every digit replaced by a zero. With fewer digits a double holds the number."""

_SHAPES = bytes.maketrans(b"123456789.E", b"0" * 10 + b"e")
_OTHERS = (b":-0", b" -0", b",-0", b"[-0", rb"\ud", rb"\uD")
_MAY_CHANGE = re.compile(r"[0-9.]{16}|[0-9.][eE][+-]?[0-9]{3}|-0(?![.0-9])|\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
"""Begins with a literal in both branches, so the search runs at the speed of memory."""
_REPLACEMENT = rb"\\ufffd"
_MAX_FLOAT = sys.float_info.max
_SPACE = re.compile(r"[ \t\n\r]*")
_SKIPPER = JSONDecoder(parse_int=len, parse_float=len)
"""Finds the end of a value without converting its numbers."""


def extract_exact(body: bytes, values: dict[str, Any]) -> dict[str, JsonText]:
    """The JSON texts of the members that parsing would change, by name; `values` gets the nearest values for them.

    `body`: an object in UTF-8; `values`: parsed from it. Raises nothing.
    """
    if not _may_change(body):
        return {}
    texts: dict[str, JsonText] = {}
    for name, text in read_members(body.decode("utf-8-sig")):
        texts.pop(name, None)  # of a repeated name the last counts
        if name in values and _MAY_CHANGE.search(text):
            texts[name] = JsonText(text)
            values[name] = parse_nearest(text.encode())
    return texts


def parse_nearest(text: bytes) -> Any:
    """The value of a JSON text, with the nearest number where no value is equal, and U+FFFD for half a character.

    Raises ValueError, also for NaN, Infinity and invalid UTF-8; RecursionError.
    """
    return _parse(replace_lone_surrogates(text).decode())


def find_excess(texts: Mapping[str, JsonText]) -> str | None:
    """The first name whose text has a number beyond a double, which many a parser refuses. `texts`: valid JSON."""
    for name, text in texts.items():
        if _exceeds(text.text):
            return name
    return None


def _exceeds(text: str) -> bool:
    shapes = text.encode().translate(_SHAPES)  # a regular expression takes 175 ms for 100,000 integers, this takes 5
    if _LONGEST_NUMBER not in shapes and not any(exponent in shapes for exponent in _EXPONENTS_ABOVE):
        return False
    try:
        _BOUNDED.decode(text)
    except OverflowError:
        return True
    return False


def replace_lone_surrogates(text: bytes) -> bytes:
    """Replaces each escaped surrogate without its other half by U+FFFD."""
    if rb"\ud" not in text and rb"\uD" not in text:
        return text
    if rb"\\" in text:
        text = text.replace(rb"\\", rb"\u005c")  # every backslash that is left begins an escape
    return _LONE_SURROGATE.sub(_REPLACEMENT, text)


def _parse(text: str) -> Any:
    try:
        return _EXACT.decode(text)
    except JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads
        return _NEAREST.decode(text)


def _refuse(constant: str) -> NoReturn:
    raise JSONDecodeError(f"{constant} is no JSON", constant, 0)


def _nearest_int(text: str) -> int:
    return int(text[:MAX_DIGITS])


def _nearest_float(text: str) -> float:
    value = float(text)
    if -_MAX_FLOAT <= value <= _MAX_FLOAT:  # 0.34 µs a number, where max and min took 0.74
        return value
    return math.copysign(_MAX_FLOAT, value)


def _bounded_int(text: str) -> float:
    """Counts the digits first: they may be millions."""
    if len(text.removeprefix("-")) > MAX_READ_DIGITS:
        raise OverflowError
    return _bounded_float(text)


def _bounded_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise OverflowError
    return value


_BOUNDED = JSONDecoder(parse_int=_bounded_int, parse_float=_bounded_float)
_EXACT = JSONDecoder(parse_constant=_refuse, parse_float=_nearest_float)
_NEAREST = JSONDecoder(parse_constant=_refuse, parse_float=_nearest_float, parse_int=_nearest_int)


def _may_change(body: bytes) -> bool:
    if any(other in body for other in _OTHERS):
        return True
    shapes = body.translate(_SHAPES)
    return _LONG_NUMBER in shapes or any(exponent in shapes for exponent in _LARGE_EXPONENTS)


def read_members(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of each member of an object, in their order. `text` is valid JSON."""
    at = _next(text, _next(text, 0) + 1)
    while text[at] != "}":
        name, at = _SKIPPER.raw_decode(text, at)
        start = _next(text, _next(text, at) + 1)
        _, end = _SKIPPER.raw_decode(text, start)
        yield name, text[start:end]
        at = _next(text, end)
        if text[at] == ",":
            at = _next(text, at + 1)


def read_items(text: str) -> Iterator[str]:
    """The text of each item of an array. `text` is valid JSON."""
    at = _next(text, _next(text, 0) + 1)
    while text[at] != "]":
        _, end = _SKIPPER.raw_decode(text, at)
        yield text[at:end]
        at = _next(text, end)
        if text[at] == ",":
            at = _next(text, at + 1)


def _next(text: str, at: int) -> int:
    """The position of the next token."""
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
