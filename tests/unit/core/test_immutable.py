"""Immutable objects behave as data classes do; mypy rejects code that changes them."""

from dataclasses import replace

import pytest

from oaicompat_proxy.core.immutable import readonly


@readonly
class Place:
    name: str
    depth: int = 0


def test_they_are_equal_if_their_fields_are() -> None:
    assert Place("reef", 3) == replace(Place("reef"), depth=3) != Place("reef")
    assert repr(Place("reef")) == "Place(name='reef', depth=0)"


def test_they_have_no_other_fields() -> None:
    with pytest.raises(AttributeError):
        Place("reef").colour = "blue"  # type: ignore[attr-defined]
