"""Counts the values of a JSON text before it is parsed, because each value costs a parser time and memory.

The count uses only whole-string operations, no loop over bytes. The inside of a string is not counted, so a long text
is one value. An invalid text is counted up to its first error, which is as far as a parser reads.

Source: RFC 8259: outside of strings each of `,:[{` stands for one value or key more.
"""

from __future__ import annotations

from itertools import accumulate

MAX_DEPTH = 128
"""Levels of nesting. A client's JSON is encoded again for the agent, and `orjson` encodes at most 254 levels."""

_ALL = set(range(256))
_NO_MARK = bytes(_ALL - set(b",:[{"))
_NO_MARK_OR_QUOTE = bytes(_ALL - set(b',:[{]}"'))
_NO_BRACKET = bytes(_ALL - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def find_excess(body: bytes, max_values: int) -> str | None:
    """The exceeded limit, as the end of a sentence that begins with "the body"; None if the body is within the limits.

    For most bodies the first test is enough: each value takes at least a byte, and most bodies have few brackets.
    """
    if len(body) <= max_values and _count_openings(body) <= MAX_DEPTH:
        return None
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


_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep, which is the most that this server accepts"


def _too_many(max_values: int) -> str:
    return f"holds more than {max_values} values and keys, which is the most that this server accepts"


def _count_openings(marks: bytes) -> int:
    return marks.count(b"[") + marks.count(b"{")


def _without_escapes(body: bytes) -> bytes:
    """The body without escaped backslashes and quotes: each remaining quote begins or ends a string."""
    return body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body


def _is_deep(marks: bytes) -> bool:
    if _count_openings(marks) <= MAX_DEPTH:
        return False
    steps = map(_STEPS.__getitem__, marks.translate(None, _NO_BRACKET))
    return max(accumulate(steps)) > MAX_DEPTH
