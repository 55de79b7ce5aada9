"""JSON in ASCII: the same value for every reader, and texts that stay as they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.ascii_json import encode
from oaicompat_proxy.core.json_text import JsonText

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    encoded = encode(value)
    assert json.loads(encoded) == value
    assert encoded.isascii()
    assert b"\n" not in encoded


@given(VALUES, st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_a_text_stays_as_it_is_written(value: Any, beside: str, indent: Any, ascii_only: bool) -> None:
    text = json.dumps([value, 1], indent=indent, ensure_ascii=ascii_only)
    if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
        return  # a request's text is UTF-8, which has no half characters
    encoded = encode({beside: JsonText(text), "": beside})
    assert json.loads(encoded) == {beside: [value, 1], "": beside}
    assert encoded.isascii()
    assert b"\n" not in encoded


@pytest.mark.parametrize(
    "text", ["1e400", "-0", "1" * 5000, '{"a":1,"a":2}', '"\\ud83d"', '"\\u0001\\u0002\\"\\\\"', '"\\/"', "[1.10]"]
)
@pytest.mark.parametrize("beside", ["plain", 'é"\\\u2028😀'])
def test_even_if_it_is_one_that_no_value_holds(text: str, beside: str) -> None:
    encoded = encode({"a": JsonText(text), "b": beside}).decode()
    assert encoded.startswith(f'{{"a":{text},"b":"')
    assert json.loads(encoded, parse_int=str)["b"] == beside


def test_beside_odd_text_it_is_sent_as_the_nearest() -> None:
    assert json.loads(encode({"a": JsonText("[1.50]"), "b": "\ud83d", "c": 2**70})) == {
        "a": [1.5],
        "b": "\ud83d",
        "c": 2**70,
    }


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})
