"""What gives way to what: the oldest entries of the same caller."""

from __future__ import annotations

import os
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.server.answer_stores.ledgers import Ledgers

ALICE, BOB = b"a" * 16, b"b" * 16


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 60)), max_size=60))
def test_it_does_as_a_dictionary_in_order_does(steps: list[tuple[bool, int, int]]) -> None:
    ledgers, model = Ledgers(callers=8, max_entries=1000, max_bytes=100), OrderedDict[bytes, int]()
    for adds, number, size in steps:
        key = name(number)
        model.pop(key, None)
        if not adds:
            ledgers.remove(ALICE, key)
            continue
        evicted = []
        while model and sum(model.values()) + size > 100:
            evicted.append(model.popitem(last=False))
        assert [tuple(each) for each in ledgers.add(ALICE, key, size)] == evicted
        model[key] = size
    assert ledgers.total(ALICE) == sum(model.values())


def test_so_many_entries_of_a_caller() -> None:
    ledgers = Ledgers(callers=8, max_entries=10, max_bytes=1000)
    evicted = [each for number in range(1, 36) for each in ledgers.add(ALICE, name(number), 1)]
    assert [each.name for each in evicted] == [name(number) for number in range(1, 26)]


def test_callers_do_not_touch_each_other() -> None:
    ledgers = Ledgers(callers=8, max_entries=10, max_bytes=100)
    ledgers.add(ALICE, name(1), 50)
    for number in range(100):
        ledgers.add(BOB, name(number + 1), 60)
    assert (ledgers.total(ALICE), ledgers.total(BOB)) == (50, 60)


def test_more_callers_than_rings_take_the_oldest_ring() -> None:
    ledgers = Ledgers(callers=8, max_entries=10, max_bytes=100)
    callers = [bytes([number]) * 16 for number in range(1, 20)]
    for caller in callers:
        ledgers.add(caller, name(1), 7)
    assert [ledgers.total(caller) for caller in callers[-8:]] == [7] * 8
    assert sum(ledgers.total(caller) for caller in callers) == 56


def test_an_entry_that_is_too_large_pushes_out_its_own_alone() -> None:
    ledgers = Ledgers(callers=8, max_entries=10, max_bytes=100)
    ledgers.add(ALICE, name(1), 50)
    assert [each.name for each in ledgers.add(ALICE, name(2), 500)] == [name(1)]
    assert [each.name for each in ledgers.add(ALICE, name(3), 5)] == [name(2)]


def test_processes_share_it_and_lose_no_entry() -> None:
    ledgers = Ledgers(callers=8, max_entries=1000, max_bytes=100_000)
    children = []
    for which in range(4):
        child = os.fork()
        if not child:
            for number in range(100):
                ledgers.add(ALICE, name(which * 1000 + number + 1), 3)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert ledgers.total(ALICE) == 1200
