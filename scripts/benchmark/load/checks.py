"""Checks that an answer is complete: every delta in order, the finish reason, the last event."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from ..gateway.frames import LAST_CHUNK, STAMP

_DONE = b"data: [DONE]\n\n"
_ID = re.compile(rb'"(?:id|sessionId)":"[^"]+"')
_CREATED = re.compile(rb'"created(?:_at)?":[0-9]+')
_RESPONSE_ID = re.compile(rb'"id":"resp_([0-9a-zA-Z]+)"')
"""The ids of all items contain the group."""
_STAMPED = re.compile("@[0-9]{19}")


MARKS = {
    "native": b'"event":"content_delta"',
    "chunks": b'"content":"',
    "responses": b'"type":"response.output_text.delta"',
    "messages": b'"type":"text_delta"',
}
"""Bytes that occur exactly once in every delta."""


class Incomplete(Exception):
    """The answer is incomplete or different; the message says how."""


def split_answer(raw: bytes) -> bytes:
    """The body of a raw HTTP response. Raises Incomplete unless it is complete and has status 200."""
    head, separator, body = raw.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0]
    if not separator or b" 200" not in status:
        raise Incomplete(f"status line {status!r}, body {body[:300]!r}")
    length = content_length(head)
    if length is None:
        chunks: list[bytes] = []
        split_chunks(body, chunks)
        return b"".join(chunks)
    if len(body) != length:
        raise Incomplete(f"{len(body)} of {length} bytes")
    return body


def content_length(head: bytes) -> int | None:
    """The answer's length, or None if it is chunked."""
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    return int(found[1]) if found else None


def split_chunks(body: bytes, chunks: list[bytes]) -> None:
    """Appends a chunked body's chunks. Raises Incomplete after the last complete one."""
    position = 0
    while True:
        line_end = body.find(b"\r\n", position)
        if line_end < 0:
            raise Incomplete("the body ends before its last chunk")
        size = int(body[position:line_end], 16)
        if size == 0:
            break
        stop = line_end + 2 + size
        if body[stop : stop + 2] != b"\r\n":
            raise Incomplete("a chunk is not as long as it says")
        chunks.append(body[line_end + 2 : stop])
        position = stop + 2
    if body[position:] != LAST_CHUNK:
        raise Incomplete(f"bytes behind the last chunk: {body[position:][:100]!r}")


def check_native(body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless all of the gateway's frames are in the body."""
    events = _events(body)
    _same(_native_deltas(events), expected)
    if [each["event"] for each in events[-2:]] != ["execution_end"] * 2:
        raise Incomplete(f"the last frame is {events[-1]['event'] if events else None!r}")


def check_chunks(body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless this is OpenAI's stream of these deltas, one chunk each."""
    if not body.endswith(_DONE):
        raise Incomplete(f"the last words are {body[-60:]!r}")
    chunks = _events(body.removesuffix(_DONE))
    _same(_openai_deltas(chunks), expected)
    reasons = [choice["finish_reason"] for chunk in chunks for choice in _choices(chunk) if choice.get("finish_reason")]
    if reasons != ["stop"]:
        raise Incomplete(f"finish reasons {reasons}")


def check_whole(body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless this is OpenAI's one answer with this text."""
    (choice,) = _choices(orjson.loads(body))
    if choice["finish_reason"] != "stop":
        raise Incomplete(f"finish reason {choice['finish_reason']!r}")
    _same([choice["message"]["content"]], ["".join(expected)])


def check_responses(body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless this is OpenAI's stream of a response with these deltas, one event each."""
    events = _events(body)
    _same([each["delta"] for each in events if each["type"] == "response.output_text.delta"], expected)
    if [each["sequence_number"] for each in events] != list(range(len(events))):
        raise Incomplete("the events are not numbered one by one")
    if events[-1]["type"] != "response.completed":
        raise Incomplete(f"the last event is {events[-1]}")
    _same([part["text"] for item in events[-1]["response"]["output"] for part in item["content"]], ["".join(expected)])


def check_messages(body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless this is Anthropic's stream of a message with these deltas, one event each."""
    events = _events(body)
    deltas = [each["delta"] for each in events if each["type"] == "content_block_delta"]
    _same([delta["text"] for delta in deltas if delta["type"] == "text_delta"], expected)
    if [each["type"] for each in events[-2:]] != ["message_delta", "message_stop"]:
        raise Incomplete(f"the last event is {events[-1]}")
    if events[-2]["delta"]["stop_reason"] != "end_turn":
        raise Incomplete(f"stop reason {events[-2]['delta']['stop_reason']!r}")


def check_begun(kind: str, body: bytes, expected: Sequence[str]) -> None:
    """Raises Incomplete unless the unfinished answer has all deltas."""
    with _malformed():
        events = _events(body)
        _same(_native_deltas(events) if kind == "native" else _openai_deltas(events), expected)


CHECKS: dict[str, Callable[[bytes, Sequence[str]], None]] = {
    "native": check_native,
    "chunks": check_chunks,
    "whole": check_whole,
    "responses": check_responses,
    "messages": check_messages,
}


class Checker:
    """Checks answers to one question; answers that differ only in their ids are checked once."""

    def __init__(self, kind: str, expected: Sequence[str]) -> None:
        self._check = CHECKS[kind]
        self._expected = expected
        self._whole: set[bytes] = set()

    def check(self, raw: bytes) -> None:
        """Checks a raw HTTP answer. Raises Incomplete."""
        with _malformed():
            body = split_answer(raw)
            nameless = _without_name(body)
            if nameless not in self._whole:
                self._check(body, self._expected)
                self._whole.add(nameless)


def _without_name(body: bytes) -> bytes:
    """The answer without its id or session and its time, which differ in each answer."""
    if found := _RESPONSE_ID.search(body):
        body = body.replace(found[1], b"")
    for name in (_ID, _CREATED):
        if found := name.search(body):
            body = body.replace(found[0], b"")
    return body


@contextlib.contextmanager
def _malformed() -> Iterator[None]:
    """Raises Incomplete for answers that are no JSON or have another form."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Incomplete(f"{type(error).__name__}: {error}") from error


def _native_deltas(events: list[Any]) -> list[str]:
    return [each["data"]["delta"] for each in events if each["event"] == "content_delta"]


def _openai_deltas(chunks: list[Any]) -> list[str]:
    contents = (choice["delta"].get("content") for chunk in chunks for choice in _choices(chunk))
    return [content for content in contents if content]


def _choices(chunk: Any) -> list[Any]:
    if "error" in chunk:
        raise Incomplete(f"the answer is an error: {chunk['error']}")
    choices: list[Any] = chunk["choices"]
    return choices


def _events(body: bytes) -> list[Any]:
    frames = body.split(b"\n\n")
    if frames.pop():
        raise Incomplete("the last event has no end")
    return [orjson.loads(frame[frame.index(b"data: ") + 6 :]) for frame in frames if b"data: " in frame]


def _same(got: list[str], expected: Sequence[str]) -> None:
    got = [STAMP if _STAMPED.fullmatch(text) else text for text in got]
    if got == list(expected):
        return
    place = next((at for at, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]), None)
    what = f"{len(got)} deltas instead of {len(expected)}"
    raise Incomplete(what if place is None else f"{what}; delta {place} is {got[place]!r}, not {expected[place]!r}")
