"""Values that a parser cannot represent, and similar ones: found, cut out as written, and read as the nearest value."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.exact_json import extract_exact, find_excess, parse_nearest, read_items, read_members
from oaicompat_proxy.core.json_text import JsonText
from tests.support.examples import examples

NUMBERS = [
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1" * 5000,
    "-" + "7" * 5000,
    "0.12345678901234567890123",
    "1234567890.12345678901",
    "1e400",
    "-1E+400",
    "1.5e-400",
    "-0",
]
"""Each would reach the agent as another one."""

PLAIN = ["0", "-1", "0.5", "-0.0", "1e5", "1E-7", "123456789012345", "true", "null", '"\\u00e9"', "[]", "{}"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24])
@pytest.mark.parametrize(
    "shape", ['{"a":%s}', '{ "a" :\n [ %s , 1 ] }', '{"a":{"b":[%s]}}', '{"z":1,"a":[0,%s],"b":2}']
)
def test_a_number_that_would_change_is_cut_out_as_it_is_written(number: str, shape: str) -> None:
    body = shape % number
    texts = extract_exact(body.encode(), {"a": None, "z": 1, "b": 2})
    assert {name: text.text for name, text in texts.items()}.keys() == {"a"}
    assert number in texts["a"].text
    assert texts["a"].text in body


@pytest.mark.parametrize("value", PLAIN)
def test_what_a_value_holds_is_left_alone(value: str) -> None:
    values = {"a": "as it was"}
    assert extract_exact(f'{{"a":{value}}}'.encode(), values) == {}
    assert values == {"a": "as it was"}


def test_only_the_members_that_would_change_are_cut_out() -> None:
    body = b'{"big":12345678901234567890123,"small":1,"text":"12345678901234567890123","half":"\\ud83d"}'
    values = {"big": 1.2345678901234568e22, "small": 1, "text": "x", "half": "\ufffd"}
    texts = extract_exact(body, values)
    assert texts["big"] == JsonText("12345678901234567890123")
    assert texts["half"] == JsonText('"\\ud83d"')
    assert "small" not in texts
    assert (values["big"], values["half"]) == (12345678901234567890123, "\ufffd")


@pytest.mark.parametrize("number", ["1e309", "-1e309", "1E+999", "1.8e308", "9" * 309, "1" * 310, "-" + "7" * 5000])
@pytest.mark.parametrize("shape", ["%s", "[1, %s]", '{"b": {"c": %s}}', '["\\ud83d", %s]'])
def test_a_number_beyond_a_double_is_found(number: str, shape: str) -> None:
    assert find_excess({"a": JsonText("1e3"), "b": JsonText(shape % number), "c": JsonText(number)}) == "b"


@pytest.mark.parametrize(
    "text", ["1e308", "-1e308", "1e-999", "1" * 309, "0." + "1" * 5000, '"1e400"', f'"{"1" * 400}"']
)
def test_a_double_is_no_excess(text: str) -> None:
    assert find_excess({"a": JsonText(text), "b": JsonText(f"[{text}]")}) is None


def test_of_a_repeated_name_the_last_value_counts() -> None:
    assert extract_exact(b'{"a":1e400,"a":1}', {"a": 1}) == {}
    assert extract_exact(b'{"a":1,"a":1e400}', {"a": 1})["a"].text == "1e400"


def test_a_name_is_read_with_its_escapes() -> None:
    assert extract_exact(rb'{"\u0061\"":1e400}', {'a"': 1})['a"'].text == "1e400"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 2**64),
        ("1e400", sys.float_info.max),
        ("-1e400", -sys.float_info.max),
        ('"cut \\ud83d"', "cut \ufffd"),
        ('["\\ude00\\ud83d", "\\ud83d\\ude00", "\\\\ud83d"]', ["\ufffd\ufffd", "😀", "\\ud83d"]),
        ('{"\\ud83d": 1e400}', {"\ufffd": sys.float_info.max}),
    ],
)
def test_the_nearest_value_is_read(text: str, value: Any) -> None:
    assert parse_nearest(text.encode()) == value


def test_an_integer_of_any_length_is_read_as_one() -> None:
    assert parse_nearest(b"9" * 5000) > 10**299
    assert parse_nearest(b"-" + b"9" * 5000) < -(10**298)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", "01", "1.", ".5", "+1", "1e", "{", "", "'a'", "[1] 2"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_nearest(text.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@examples(40)
@given(st.dictionaries(st.text(), VALUES), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_member_and_item_is_cut_out_whole(value: dict[str, Any], indent: Any, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert {name: json.loads(part) for name, part in read_members(text)} == value
    items = list(value.values())
    assert [json.loads(part) for part in read_items(json.dumps(items, indent=indent))] == items


@pytest.mark.slow
@examples(40)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES))
def test_no_value_that_would_change_escapes(value: dict[str, Any]) -> None:
    """A value that is not cut out is the same after orjson has read and written it."""
    body = json.dumps(value).encode()
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:  # half a character
        values = parse_nearest(body)
    texts = extract_exact(body, values)
    for name, each in value.items():
        if name in texts:
            assert json.loads(texts[name].text) == each
        else:
            assert same(json.loads(orjson.dumps(values[name])), each)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return bool(one == other)
