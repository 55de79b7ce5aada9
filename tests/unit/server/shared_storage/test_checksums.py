"""A value is read as it was written under its key, or not at all; its damage is logged once."""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.server.shared_storage import checksums
from oaicompat_proxy.server.shared_storage.checksums import add_checksum, check

VALUE = b'{"output": []}'


@pytest.mark.parametrize("value", [b"", VALUE, bytes(100_000)], ids=["empty", "text", "long"])
def test_a_value_is_read_as_it_was_written(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert check("whole", add_checksum("whole", value)) == value
    assert not caplog.records


@pytest.mark.parametrize("place", range(len(add_checksum("bits", VALUE))))
def test_one_wrong_bit_anywhere_is_noticed(place: int) -> None:
    stored = bytearray(add_checksum("bits", VALUE))
    stored[place] ^= 1
    assert check("bits", bytes(stored)) is None


@pytest.mark.parametrize("stored", [b"", b"x", VALUE, add_checksum("cut", VALUE)[:-1], "text", 7, 0.5, None])
def test_anything_else_is_damage(stored: Any) -> None:
    assert check("cut", stored) is None


def test_a_value_under_the_key_of_another_is_damage() -> None:
    assert check("b", add_checksum("a", VALUE)) is None


def test_damage_is_logged_once_for_each_key(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "MAX_REPORTED", 2)
    for key in ("first", "second", "second", "first"):
        assert check(key, b"") is None
    assert [each.getMessage().split()[4] for each in caplog.records] == ["first", "second"]
    for key in ("third", "second", "first"):
        check(key, b"")
    assert len(caplog.records) == 4, "only so many are remembered"
