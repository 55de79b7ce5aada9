from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.json_body import parse_json
from oaicompat_proxy.api.json_size import MAX_DEPTH
from oaicompat_proxy.core.errors import InvalidRequest

NOT_PARSED = "We could not parse the JSON body of your request. (HINT: "


def nested(levels: int) -> bytes:
    """An object that is `levels` containers deep."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_parses_an_object():
    assert parse_json(b' {"a": [1, 2.5, "x", null, true]} ') == {"a": [1, 2.5, "x", None, True]}


def test_last_of_a_repeated_key_wins():
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


def test_byte_order_mark_is_tolerated():
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_empty_body_gets_the_documented_answer(body):
    with pytest.raises(InvalidRequest) as caught:
        parse_json(body)
    assert (caught.value.message, caught.value.param, caught.value.code) == (
        "you must provide a model parameter",
        None,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"hello",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\x00"}',
        b'{"a": 1} {"b": 2}',
        b'{"a": "\\ud83d", "b": NaN}',
        b'{"a": "\\ud83d", "b": "\xff"}',
        b"[]",
        b'"text"',
        b"null",
        b"5",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(InvalidRequest) as caught:
        parse_json(body)
    assert caught.value.message.startswith(NOT_PARSED)
    assert caught.value.message.endswith(")")
    assert len(caught.value.message) < 300
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, None, None)


@pytest.mark.parametrize(
    ("escaped", "expected"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00 cut", "\ufffd cut"),
        (rb"\ud83dA\ude00", "\ufffdA\ufffd"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\\ud83d", "\\ud83d"),
    ],
)
def test_half_a_surrogate_pair_becomes_a_replacement_character(escaped, expected):
    assert parse_json(b'{"a": "' + escaped + b'"}') == {"a": expected}


def test_half_a_surrogate_pair_in_a_key_is_replaced_too():
    assert parse_json(rb'{"\ud83d": "\ud83d"}') == {"\ufffd": "\ufffd"}


@pytest.mark.parametrize("number", ["1e999", "1" * 400, "1" * 5000, "123456789012345678901234567890"])
@pytest.mark.parametrize("beside", [r"\ud83d", "x"])
def test_a_number_that_is_too_large_is_read_as_a_large_one(number, beside):
    assert parse_json(f'{{"n": {number}, "s": "{beside}"}}'.encode())["n"] > 2**64


def test_depth_is_bounded_exactly():
    assert parse_json(nested(MAX_DEPTH))
    with pytest.raises(InvalidRequest, match="more than 128 levels") as caught:
        parse_json(nested(MAX_DEPTH + 1))
    assert (caught.value.status, caught.value.code) == (400, "request_too_complex")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"\\ud83d":' * 50_000])
def test_what_is_deep_beyond_measure_is_refused_before_it_is_parsed(body):
    with pytest.raises(InvalidRequest, match="holds more than 1000 values") as caught:
        parse_json(body, max_values=1000)
    assert (caught.value.status, caught.value.code) == (400, "request_too_complex")


def test_many_brackets_that_are_not_deep_are_fine():
    assert len(parse_json(b'{"a": [' + b"[]," * 1000 + b"[]]}")["a"]) == 1001


@given(st.binary())
def test_any_bytes_parse_or_are_refused(body):
    with suppress(InvalidRequest):
        assert isinstance(parse_json(body), dict)
