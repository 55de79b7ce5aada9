"""A table in memory that processes share: bounded, and never wrong."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.server.shared_storage.shared_table import CANDIDATES, SharedTable

LATER = 2.0**40


@given(st.dictionaries(st.text(), st.binary(max_size=20), max_size=8))
def test_what_was_put_comes_back(values: dict[str, bytes]) -> None:
    table = SharedTable(slots=4096, slot_size=128)
    for key, value in values.items():
        assert table.put(key, value, until=LATER)
    assert {key: table.get(key) for key in values} == values
    assert table.get("nobody has put this") is None


def test_the_newest_value_of_a_key_counts() -> None:
    table = SharedTable(slots=4, slot_size=128)
    for value in (b"long enough", b"short", b""):
        table.put("key", value, until=LATER)
        assert table.get("key") == value


def test_what_is_too_old_is_forgotten() -> None:
    table = SharedTable(slots=4, slot_size=128)
    table.put("key", b"value", until=time.time() - 1)
    assert table.get("key") is None


def test_what_does_not_fit_is_logged_and_harms_nothing() -> None:
    table = SharedTable(slots=1, slot_size=128)
    assert table.put("key", b"x" * table.max_value, until=LATER)
    assert not table.put("key", b"x" * (table.max_value + 1), until=LATER)
    assert table.get("key") == b"x" * table.max_value


def test_it_holds_so_many_and_the_oldest_gives_way() -> None:
    table = SharedTable(slots=CANDIDATES, slot_size=128)
    for number in range(3 * CANDIDATES):
        table.put(f"key {number}", b"value", until=LATER + number)
    kept = [number for number in range(3 * CANDIDATES) if table.get(f"key {number}")]
    assert kept == list(range(2 * CANDIDATES, 3 * CANDIDATES))


def test_processes_of_one_tree_share_it() -> None:
    table = SharedTable(slots=64, slot_size=128)
    child = os.fork()
    if not child:
        table.put("from the child", b"value", until=LATER)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert table.get("from the child") == b"value"


@pytest.mark.parametrize("byte", range(0, 44, 3))
def test_a_place_that_was_torn_holds_nothing(byte: int) -> None:
    """As when two processes write it at once."""
    table = SharedTable(slots=1, slot_size=64)
    table.put("key", b"12345678", until=LATER)
    memory = table.memory
    memory[byte] ^= 0x55
    assert table.get("key") is None


def test_a_value_takes_the_place_of_one_of_its_owner_first() -> None:
    table = SharedTable(slots=CANDIDATES, slot_size=128)
    table.put("hers", b"value", until=LATER, owner="alice")
    for number in range(100):
        table.put(f"key {number}", b"value", until=LATER + number, owner="mallory")
    assert table.get("hers") == b"value"
