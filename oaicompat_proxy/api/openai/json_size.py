"""How much a JSON text holds, counted on its bytes: a parser needs time and memory for each value.

No byte costs a step of the interpreter. What stands in strings is not counted, so a long text is one value. A text
that is no JSON is counted as far as it is JSON, which is as far as a parser reads.

Source: RFC 8259: outside of strings each of `,:[{` stands for one value or key more.
"""

from __future__ import annotations

from itertools import accumulate

MAX_DEPTH = 128
"""Levels of nesting. What a client sent is written again for the agent, and `orjson` writes at most 254."""

_ALL = set(range(256))
_NO_MARK = bytes(_ALL - set(b",:[{"))
_NO_MARK_OR_QUOTE = bytes(_ALL - set(b',:[{]}"'))
_NO_BRACKET = bytes(_ALL - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def find_excess(body: bytes, max_values: int) -> str | None:
    """What `body` has too much of, in words that follow "the body"; None if nothing.

    Most bodies are looked at once, since they have few of these marks even with those in their texts.
    """
    marks = body.translate(None, _NO_MARK)
    if len(marks) <= max_values and _count_openings(marks) <= MAX_DEPTH:
        return None
    marks = _without_escapes(body).translate(None, _NO_MARK_OR_QUOTE)
    if marks.count(b'"') > 4 * max_values:  # more strings than values and their keys
        return _too_many(max_values)
    marks = b"".join(marks.split(b'"')[::2])
    if len(marks.translate(None, b"]}")) > max_values:
        return _too_many(max_values)
    return _TOO_DEEP if _is_deep(marks) else None


_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep, which is the most that this server takes"


def _too_many(max_values: int) -> str:
    return f"holds more than {max_values} values and keys, which is the most that this server takes"


def _count_openings(marks: bytes) -> int:
    return marks.count(b"[") + marks.count(b"{")


def _without_escapes(body: bytes) -> bytes:
    """Without escaped backslashes and quotes: each quote that is left begins or ends a string."""
    return body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body


def _is_deep(marks: bytes) -> bool:
    if _count_openings(marks) <= MAX_DEPTH:
        return False
    steps = map(_STEPS.__getitem__, marks.translate(None, _NO_BRACKET))
    return max(accumulate(steps)) > MAX_DEPTH
