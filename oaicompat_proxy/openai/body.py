"""The bytes of a request body to one JSON object.

Stricter than Python's `json` (no NaN, no infinity, no invalid UTF-8) and kinder than `orjson` in two places
where real clients err: a byte-order mark in front, and an escaped half of a surrogate pair (text that was cut
in the middle of an emoji), which becomes U+FFFD.

Source: the service's answers to bad bodies, `openai-models-errors.md` 4.3; RFC 8259 sections 8.1 and 8.2.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from ..errors import InvalidRequest

MAX_DEPTH = 128
"""Levels of nesting. What a client sent is written again for the agent, and `orjson` writes at most 254."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTAINERS = (dict, list)


def parse_json(body: bytes) -> dict[str, Any]:
    """The object in `body`; of a repeated key the last value.

    Raises InvalidRequest for everything else, and nothing but that.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        parsed = _loads(body)
    except (ValueError, RecursionError) as exc:
        if not body.strip():
            raise InvalidRequest("you must provide a model parameter") from None
        raise _unparsable(str(exc)) from exc
    if not isinstance(parsed, dict):
        raise _unparsable("the body must be a JSON object")
    if _may_be_deep(body) and _is_deep(parsed):
        raise _unparsable(f"the body is nested more than {MAX_DEPTH} levels deep")
    return parsed


def _loads(body: bytes) -> Any:
    """The second way only mends surrogates: `orjson` has the last word on what is JSON in both."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _SURROGATE_ESCAPE.search(body):
            raise
    text = json.dumps(json.loads(body.decode()), ensure_ascii=False)
    return orjson.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _may_be_deep(body: bytes) -> bool:
    """Cheap first look: without that many brackets, each of a pair, there are not that many levels."""
    return len(body) > 2 * MAX_DEPTH and body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _unparsable(hint: str) -> InvalidRequest:
    """`hint` may be what a parser says: it names a place and a fault and never quotes the body at length."""
    return InvalidRequest(f"We could not parse the JSON body of your request. (HINT: {hint}.)")
