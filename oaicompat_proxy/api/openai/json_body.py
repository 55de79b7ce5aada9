"""The bytes of a request body to one JSON object.

Stricter than Python's `json` (no NaN, no infinity, no invalid UTF-8) and kinder than `orjson` in three places: a
byte-order mark in front, an escaped half of a surrogate pair (text that was cut in the middle of an emoji), which
becomes U+FFFD, and a number that no double holds, which becomes the nearest. What is passed on to the agent as it is
keeps both: see `exact_json`.

Source: `api/openai/PROTOCOL.md`, "Bad requests"; RFC 8259 sections 8.1 and 8.2.
"""

from __future__ import annotations

import contextlib
from typing import Any

import orjson

from ...core.errors import InvalidRequest
from ...core.exact_json import mend_surrogates, parse_nearest
from .json_size import find_excess

MAX_VALUES = 100_000
"""Values and keys of a body. Each costs up to a microsecond in all, during which nobody else is served."""

MAX_SURROGATES = 200_000
"""Escaped halves of characters in a body where one has to be mended: looking at each of them takes time."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_json(body: bytes, *, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """The object in `body`; of a repeated key the last value.

    `max_values`: values and keys. Raises InvalidRequest for everything else, and nothing but that.
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
    """What the faster parser does not take is mended for it; the other one has the last word."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.count(rb"\ud") + body.count(rb"\uD") > MAX_SURROGATES:
            raise ValueError(f"more than {MAX_SURROGATES} escaped surrogates, not all of them in pairs") from None
        with contextlib.suppress(ValueError):
            return orjson.loads(mend_surrogates(body))
        with contextlib.suppress(ValueError):
            return parse_nearest(body)
        raise error


def _unparsable(hint: str) -> InvalidRequest:
    """`hint` may be what a parser says: it names a place and a fault and never quotes the body at length."""
    return InvalidRequest(f"We could not parse the JSON body of your request. (HINT: {hint}.)")
