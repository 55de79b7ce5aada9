from __future__ import annotations

import pytest

from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.server.answer_stores.ledgers import Ledgers
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.shared_storage.shared_table import SharedTable
from tests.support.stored_answers import LONG, MANY, small_memory


async def test_entries_are_found_by_their_caller_alone() -> None:
    answers = MemoryAnswers(MANY)
    await answers.add("alice", {"a": b"short", "b": LONG, "c": b""})
    found = await answers.find("alice", ["a", "b", "c", "d"], max_bytes=1_000_000)
    assert found == {"a": b"short", "b": LONG, "c": b""}
    assert await answers.find("bob", ["a", "b"], max_bytes=1_000_000) == {}


async def test_other_processes_find_them() -> None:
    await MemoryAnswers(MANY).add("alice", {"e": LONG})
    assert await MemoryAnswers(MANY).find("alice", ["e"], max_bytes=len(LONG)) == {"e": LONG}


async def test_what_is_referred_to_is_bounded() -> None:
    answers = MemoryAnswers(MANY)
    await answers.add("alice", {"f": LONG, "g": LONG})
    with pytest.raises(InvalidRequest):
        await answers.find("alice", ["f"], max_bytes=len(LONG) - 1)
    with pytest.raises(InvalidRequest):
        await answers.find("alice", ["f", "g"], max_bytes=2 * len(LONG) - 1)


async def test_many_entries_leave_room_for_the_newest() -> None:
    answers = MemoryAnswers(MANY)
    for number in range(6000):
        await answers.add("alice", {f"many {number}": b"x"})
    assert await answers.find("alice", ["many 5999"], max_bytes=10) == {"many 5999": b"x"}


async def test_a_caller_has_so_many_entries_in_memory_and_its_newest_ones() -> None:
    answers = small_memory(answers=5)
    for number in range(30):
        await answers.add("alice", {str(number): b"x"})
    found = await answers.find("alice", map(str, range(30)), max_bytes=1000)
    assert sorted(map(int, found)) == [*range(20, 30)]


async def test_a_caller_has_so_many_bytes_in_memory() -> None:
    answers = small_memory(slots=1024, max_bytes=10_000)
    for number in range(30):
        await answers.add("alice", {str(number): b"x" * 2000})
    found = await answers.find("alice", map(str, range(30)), max_bytes=1 << 20)
    assert sorted(map(int, found)) == [*range(25, 30)]


async def test_a_caller_cannot_push_out_what_another_one_has_in_memory() -> None:
    """Many entries, large ones, and the same one again and again evict only the caller's own."""
    table = SharedTable(slots=512, slot_size=1024, candidates=16)
    answers = MemoryAnswers(MANY, table, Ledgers(callers=16, max_entries=100, max_bytes=60_000))
    await answers.add("alice", {str(number): b"hers" * 100 for number in range(20)})
    for number in range(3000):
        await answers.add("mallory", {f"small {number}": b"x"})
    for number in range(300):
        await answers.add("mallory", {f"large {number}": LONG[:20_000], "again": b"y" * number})
    assert len(await answers.find("alice", map(str, range(20)), max_bytes=1 << 20)) == 20


async def test_an_entry_that_is_replaced_or_deleted_counts_no_more() -> None:
    answers = small_memory(slots=1024, max_bytes=10_000)
    await answers.add("alice", {"kept": b"k" * 4000})
    for _ in range(10):
        await answers.add("alice", {"replaced": b"r" * 4000})
        await answers.add("alice", {"deleted": b"d" * 2000})
        await answers.delete("alice", ["deleted"])
    assert sorted(await answers.find("alice", ["kept", "replaced", "deleted"], max_bytes=1 << 20)) == [
        "kept",
        "replaced",
    ]


async def test_what_is_too_old_is_gone() -> None:
    answers = small_memory()
    await answers.add("alice", {"m": b"x"}, ttl=-1.0)
    assert await answers.find("alice", ["m"], max_bytes=10) == {}


async def test_a_deleted_or_replaced_entry_takes_no_place_in_the_number() -> None:
    answers = small_memory(slots=1024, answers=5)
    for number in range(9):
        await answers.add("alice", {str(number): b"x"})
    for _ in range(50):
        await answers.add("alice", {"again": b"x", "gone": b"x"})
        await answers.delete("alice", ["gone"])
    found = await answers.find("alice", ["again", *map(str, range(9))], max_bytes=100)
    assert sorted(found) == [*map(str, range(1, 9)), "again"]
