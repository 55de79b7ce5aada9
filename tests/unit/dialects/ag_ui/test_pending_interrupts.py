"""Interrupts that are carried to the client and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.dialects.ag_ui.pending_interrupts import (
    COMMAND,
    RESUME,
    PendingInterrupt,
    decode_interrupts,
    encode_interrupts,
    fingerprint,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.lists(
        st.builds(
            PendingInterrupt, st.text(), st.text(), st.text(), st.sampled_from([RESUME, COMMAND]), JSON, st.text()
        )
    )
)
def test_what_was_carried_comes_back(interrupts: list[PendingInterrupt]) -> None:
    assert decode_interrupts(encode_interrupts(interrupts)) == interrupts


def test_what_is_carried_says_nothing_that_goes_without_saying() -> None:
    assert encode_interrupts([PendingInterrupt("i1")]) == '[["i1"]]'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":2.0}', '{"b": 2, "a": 1}', True),
        ('{"a":"\\u00e9"}', '{"a":"é"}', True),
        ('{"a":1}', '{"a":2}', False),
        ('{"a":1}', '{"a":"1"}', False),
        ("no JSON", "no JSON", True),
        ("[" * 450 + "]" * 450, "[" * 450 + "]" * 450, True),
        ('"\\ud83c"', '"\\ud83c"', True),
    ],
)
def test_arguments_are_the_same_however_they_are_written(one: str, other: str, same: bool) -> None:
    assert (fingerprint(one) == fingerprint(other)) is same
