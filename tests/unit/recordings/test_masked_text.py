"""Masked texts keep their length and their escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.recordings.masked_text import mask_string, mask_text, variant_of


@given(st.text())
def test_a_masked_text_has_as_many_bytes_and_no_letter_of_the_old(text: str) -> None:
    after = mask_text(text)
    assert len(after.encode("utf-8", "surrogatepass")) == len(text.encode("utf-8", "surrogatepass"))
    assert {sign for sign in after if sign.isascii() and sign.isalnum()} <= {"x", "1"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Room 42, 1st floor!", "xxxx 11, 1xx xxxxx!"),
        (r"a\nb", r"x\nx"),
        (r"\u0041\u0020\u00df", r"\u0078\u0020\u00e9"),
        (r"\ud83d\ude80", r"\ud83d\ude00"),
        ("\\", "\\"),
    ],
)
def test_the_inside_of_a_string_keeps_its_escapes(text: str, masked: str) -> None:
    assert mask_string(text) == masked


def test_all_variants_of_a_text_differ_until_there_are_no_more() -> None:
    variants = [variant_of("x1", number) for number in range(520)]
    assert variants[:2] == ["x1", "x2"]
    assert len({*variants}) == 520
    assert variant_of("x1", 520) == "x1"


def test_a_variant_changes_no_escape() -> None:
    assert variant_of(r"\x", 5) == r"\x"
