"""A masked stream tells nothing that was said, and becomes the same answer, masked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure_path import Manner, Outcome, collected, read_events, streamed, translate

from oaicompat_proxy.masking import LONGEST_ID, Masker, mask, mask_text

HERE = Path(__file__)
NATIVES = [
    *sorted((HERE.parents[2] / "shared" / "recordings").glob("*.sse")),
    *sorted((HERE.parent / "golden").glob("*.native.sse")),
]
MANNERS = [Manner(include_usage=True), Manner(server_tools="reasoning"), Manner(server_tools="content")]


def outcome_of(native: bytes, manner: Manner) -> Outcome:
    return translate(read_events([native], with_deeds=manner.server_tools != "hide"), manner)


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.server_tools)
@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_the_answer_to_a_masked_run_is_the_masked_answer(path: Path, manner: Manner) -> None:
    native = path.read_bytes()
    plain, masked = outcome_of(native, manner), outcome_of(mask(native), manner)
    assert mask(streamed(masked, manner) or b"") == mask(streamed(plain, manner) or b"")
    assert mask(collected(masked, manner)) == mask(collected(plain, manner))


@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_masking_twice_is_masking_once(path: Path) -> None:
    once = mask(path.read_bytes())
    assert mask(once) == once


@pytest.mark.parametrize("path", NATIVES, ids=lambda path: path.stem)
def test_cuts_change_nothing(path: Path) -> None:
    native = path.read_bytes()
    for size in (1, 7, 1000):
        masker = Masker()
        pieces = [masker.feed(native[place : place + size]) for place in range(0, len(native), size)]
        assert b"".join((*pieces, masker.finish())) == mask(native)
        assert masker.held == 0


def line(**data: object) -> bytes:
    return b"data: " + json.dumps({"type": "event", "event": "x", "data": data}, ensure_ascii=False).encode() + b"\n\n"


def masked(**data: object) -> dict[str, object]:
    told: dict[str, object] = json.loads(mask(line(**data)).removeprefix(b"data: "))["data"]  # type: ignore[assignment]
    return told


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"delta": "Call Bob, 42!"}, {"delta": "xxxx xxx, 11!"}),
        ({"type": "tool_call", "callId": "c1", "name": "add"}, {"type": "tool_call", "callId": "c1", "name": "add"}),
        ({"input": {"name": "Bob", "id": 7, "n": -2.5}}, {"input": {"name": "xxx", "id": 1, "n": -1.1}}),
        ({"metadata": {"id": "Bob"}}, {"metadata": {"id": "xxx"}}),
        ({"data": {"name": "Bob"}}, {"data": {"name": "xxx"}}),
        ({"name": ["Bob"]}, {"name": ["xxx"]}),
        (
            {"result": {"content": [{"type": "text", "text": "Bob"}]}},
            {"result": {"content": [{"type": "text", "text": "xxx"}]}},
        ),
        ({"usage": {"inputTokens": 37}, "age": 37}, {"usage": {"inputTokens": 37}, "age": 11}),
        ({"ok": True, "none": None}, {"ok": True, "none": None}),
        ({"id": "confirm_" + "a" * LONGEST_ID}, {"id": "xxxxxxx_" + "x" * LONGEST_ID}),
        (
            {"error": {"name": "E", "message": "rate limit, key=abc"}},
            {"error": {"name": "E", "message": "rate limit, key=[redacted]"}},
        ),
        ({"error": 'Unknown app "x"'}, {"error": 'Unknown app "x"'}),
        ({"message": "Bob"}, {"message": "xxx"}),
        ({"result": {"error": "Bob"}}, {"result": {"error": "xxx"}}),
        ({"error": {"cause": {"message": "Bob"}}}, {"error": {"cause": {"message": "xxx"}}}),
        ({"input": {"error": {"message": "Bob"}}}, {"input": {"error": {"message": "xxx"}}}),
        ({"input": [{"a": {"name": "Bob"}}], "name": "add"}, {"input": [{"a": {"name": "xxx"}}], "name": "add"}),
    ],
    ids=str,
)
def test_what_things_are_stays_and_what_was_said_does_not(data: dict[str, object], expected: dict[str, object]) -> None:
    assert masked(**data) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"event: message\n", b"event: message\n"),
        (b"id: 7\n", b"id: 7\n"),
        (b": Bob waits\n", b": xxx xxxxx\n"),
        (b"data: Bob\n", b"data: xxx\n"),
        (b"data: [DONE]\n", b"data: [DONE]\n"),
        (b"Bob\r\n", b"xxx\r\n"),
        (b'data: {"delta":"Bo\n', b'data: {"delta":"xx\n'),
        (b'data: {"delta":"\xffBob"}\n', b'data: {"delta":"\xffxxx"}\n'),
        (rb'data: {"delta":"B\u0042\n\ud83d"}', rb'data: {"delta":"x\u0078\n\ud83d"}'),
        (b"", b""),
    ],
)
def test_lines_of_every_kind(said: bytes, expected: bytes) -> None:
    assert mask(said) == expected


@given(st.text())
def test_a_masked_text_has_as_many_bytes_and_no_letter_of_the_old(text: str) -> None:
    after = mask_text(text)
    assert len(after.encode("utf-8", "surrogatepass")) == len(text.encode("utf-8", "surrogatepass"))
    assert {sign for sign in after if sign.isascii() and sign.isalnum()} <= {"x", "1"}


@given(st.text(), st.booleans())
def test_an_escaped_text_is_masked_as_it_is_without_escapes(text: str, escaped: bool) -> None:
    said = json.dumps({"delta": text}, ensure_ascii=escaped)
    told = json.loads(mask(said.encode("utf-8", "surrogatepass")))["delta"]
    assert told.encode("utf-16", "surrogatepass") == mask_text(text).encode("utf-16", "surrogatepass")


def test_depth_costs_nothing_more() -> None:
    """In time that grows with the length alone: the test's own limit is the judge."""
    deep = b'data: {"a":' + b'[{"a":["Bob",' * 100_000
    assert b"Bob" not in mask(deep)
