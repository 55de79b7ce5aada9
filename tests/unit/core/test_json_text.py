import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.json_text import encode

VALUES: list[tuple[Any, bytes]] = [
    ({"a": [1, None, True, "b"]}, b'{"a":[1,null,true,"b"]}'),
    ("Grüß \U0001f30a", '"Grüß \U0001f30a"'.encode()),
    ("a\r\nb\x0b\x0c\x1c\x00", b'"a\\r\\nb\\u000b\\f\\u001c\\u0000"'),
    ("a\u2028b\u2029c\x85d", b'"a\\u2028b\\u2029c\\u0085d"'),
    ({"\u2028": "\x85"}, b'{"\\u2028":"\\u0085"}'),
    ("\u0080\u0084\u0086\u2027\u202a", '"\u0080\u0084\u0086\u2027\u202a"'.encode()),
    ("\ud83c", '"\ufffd"'.encode()),
    ({"\udf0a": ["\ud83c", {"a": "b\ud83c\u2028"}]}, '{"\ufffd":["\ufffd",{"a":"b\ufffd\\u2028"}]}'.encode()),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_it_is_one_line_that_every_reader_sees_as_one(value: Any, expected: bytes) -> None:
    assert encode(value) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\u2028\x85", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_it_reads_back_as_what_it_was(value: Any) -> None:
    encoded = encode(value)
    assert json.loads(encoded) == value
    assert len(encoded.decode().splitlines()) == 1


@given(st.text())
def test_any_text_can_be_encoded(text: str) -> None:
    encode({"text": text + "\ud83c"}).decode()
