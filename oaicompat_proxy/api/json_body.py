"""Parses the bytes of a request body into one JSON object.

Stricter than Python's `json` (no NaN, no infinity, no invalid UTF-8) and more tolerant than `orjson` in three places:
a byte-order mark in front; a lone escaped surrogate (text that was cut inside an emoji), which becomes U+FFFD; and a
number beyond a double, which becomes the nearest double. Parameters that are passed on keep both: see `exact_json`.

Source: `api/openai/PROTOCOL.md`, "Bad requests"; RFC 8259 sections 8.1 and 8.2.
"""

from __future__ import annotations

import contextlib
from typing import Any

import orjson

from ..core.errors import InvalidRequest
from ..core.exact_json import parse_nearest, replace_lone_surrogates
from .json_size import find_excess

MAX_VALUES = 100_000
"""Values and keys of a body. Each costs up to a microsecond, during which no other request is served."""

MAX_SURROGATES = 200_000
"""Escaped surrogates of a body with a lone one, at most: the replacement takes time for each of them."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_json(body: bytes, *, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """The object in `body`; of a repeated key the last value.

    `max_values`: values and keys. Raises InvalidRequest for everything else, and no other error.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    excess = find_excess(body, max_values)
    if excess is not None:
        raise InvalidRequest(f"The JSON body of your request {excess}.", code="request_too_complex")
    try:
        parsed = _loads(body)
    except (ValueError, RecursionError) as exc:
        if not body.strip():
            raise InvalidRequest("you must provide a model parameter") from None
        raise _unparsable(str(exc)) from exc
    if not isinstance(parsed, dict):
        raise _unparsable("the body must be a JSON object")
    return parsed


def _loads(body: bytes) -> Any:
    """orjson parses most bodies; the slower, exact parser parses those that orjson rejects."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.count(rb"\ud") + body.count(rb"\uD") > MAX_SURROGATES:
            raise ValueError(f"more than {MAX_SURROGATES} escaped surrogates, not all of them in pairs") from None
        with contextlib.suppress(ValueError):
            return orjson.loads(replace_lone_surrogates(body))
        with contextlib.suppress(ValueError):
            return parse_nearest(body)
        raise error


def _unparsable(hint: str) -> InvalidRequest:
    """`hint`: may be a parser's message, which has a position and a reason but never quotes the body at length."""
    return InvalidRequest(f"We could not parse the JSON body of your request. (HINT: {hint}.)")
