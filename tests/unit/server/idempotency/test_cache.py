"""Which requests are the same, and how many answers are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import IdempotencyFull, InvalidRequest
from oaicompat_proxy.server.idempotency.broadcast import BroadcastBuffer
from oaicompat_proxy.server.idempotency.cache import IdempotencyCache, check_key, fingerprint


@dataclass(eq=False)
class Item:
    key: str
    scope: str = "me"
    over: bool = False
    buffer: BroadcastBuffer = field(default_factory=BroadcastBuffer)


def new_cache(max_entries: int = 9, max_size: int = 100, max_bytes: int = 1000) -> IdempotencyCache[Item]:
    return IdempotencyCache(max_entries=max_entries, max_size=max_size, max_bytes=max_bytes)


@pytest.mark.parametrize(
    "key", ["a", "x" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", '"quoted"', "stainless-python-retry-1"]
)
def test_a_key_is_visible_ascii(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\tb", "é", "a\x7f", "\udcff"])
def test_any_other_key_is_named_in_the_error(key: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_key(key)
    assert (raised.value.status, raised.value.param) == (400, "Idempotency-Key")


@given(st.lists(st.binary(max_size=5), max_size=5), st.lists(st.binary(max_size=5), max_size=5))
def test_a_fingerprint_is_that_of_the_parts_not_of_their_sum(one: list[bytes], other: list[bytes]) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_keys_of_different_callers_are_different() -> None:
    kept = new_cache()
    mine, yours = Item("k"), Item("k", scope="you")
    kept.add(mine)
    kept.add(yours)
    assert (kept.get("me", "k"), kept.get("you", "k"), kept.get("she", "k")) == (mine, yours, None)


def test_a_callers_own_oldest_goes_first() -> None:
    kept = new_cache(max_entries=3)
    items = [Item("a", "you", over=True), Item("b", over=False), Item("c", over=True)]
    for each in items:
        assert kept.add(each) is None
    assert kept.add(Item("d")) is items[2]
    assert kept.add(Item("e")) is items[0]
    assert len(kept) == 3


def test_what_runs_is_never_forgotten() -> None:
    kept = new_cache(max_entries=1)
    running = Item("a")
    kept.add(running)
    with pytest.raises(IdempotencyFull):
        kept.add(Item("b"))
    assert kept.get("me", "a") is running


def test_a_long_answer_is_shed_but_its_key_stays() -> None:
    kept = new_cache(max_size=3)
    item = Item("a")
    kept.add(item)
    kept.write(item, b"abc")
    assert (item.buffer.is_replayable, kept.bytes) == (True, 3)
    kept.write(item, b"d")
    kept.write(item, b"e")
    assert (item.buffer.is_replayable, item.buffer.buffered, kept.bytes) == (False, 0, 0)
    assert kept.get("me", "a") is item


def test_the_oldest_answers_make_room() -> None:
    kept = new_cache(max_bytes=10)
    items = [Item(key) for key in "abcd"]
    for each in items:
        kept.add(each)
    for each in items[:3]:
        kept.write(each, b"xxx")
    items[1].over = items[2].over = True
    kept.write(items[3], b"yy")
    assert [each.buffer.is_replayable for each in items] == [True, False, True, True]
    assert kept.bytes == 8


def test_where_nothing_can_make_room_the_new_answer_is_not_kept() -> None:
    kept = new_cache(max_bytes=4)
    running, late = Item("a"), Item("b", over=True)
    kept.add(running)
    kept.add(late)
    kept.write(running, b"xxx")
    kept.write(late, b"yy")
    assert (running.buffer.is_replayable, late.buffer.is_replayable, kept.bytes) == (True, False, 3)


def test_one_that_was_replaced_does_not_take_the_new_one_with_it() -> None:
    kept = new_cache()
    old, new = Item("a"), Item("a")
    kept.add(old)
    kept.remove(old)
    kept.add(new)
    kept.remove(old)
    assert kept.get("me", "a") is new


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "write", "over", "drop", "shed"]), st.integers(0, 5), st.integers(1, 6)),
        max_size=60,
    )
)
def test_all_bounds_hold_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    kept = new_cache(max_entries=4, max_size=8, max_bytes=16)
    items = [Item(str(number)) for number in range(6)]
    here: set[int] = set()
    for what, number, size in steps:
        item = items[number]
        if what == "put" and number not in here:
            try:
                kept.add(item)
            except IdempotencyFull:
                continue
            here.add(number)
        elif number not in here or kept.get("me", item.key) is not item:
            continue
        elif what == "write":
            kept.write(item, b"x" * size)
        elif what == "over":
            item.over = True
        elif what == "drop":
            kept.remove(item)
        else:
            kept.evict_body(item)
        assert len(kept) <= 4
        assert kept.bytes <= 16
        held = [each.buffer for each in items if kept.get("me", each.key) is each and each.buffer.is_replayable]
        assert kept.bytes == sum(buffer.size for buffer in held)
        assert all(buffer.size <= 8 for buffer in held)
