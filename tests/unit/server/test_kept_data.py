from collections import Counter

from oaicompat_proxy.core.caller import Owner
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds
from oaicompat_proxy.server.kept_data import StoredEntries, count_kept, delete_kept, in_each_place


class Notes:
    """Kept of callers by another part of the server."""

    kind = "notes"
    place = ""

    def __init__(self, **kept: int) -> None:
        self.kept = Counter(kept)

    async def count(self, owner: Owner) -> int:
        return self.kept[owner.scope]

    async def delete(self, owner: Owner) -> int:
        return self.kept.pop(owner.scope, 0)


async def test_each_kind_is_counted_and_deleted() -> None:
    answers = MemoryAnswers(Bounds(100, 60))
    await answers.add("kept alice", {"a": b"1", "b": b"2" * 100_000})
    await answers.add("kept bob", {"a": b"3"})
    kinds = [
        StoredEntries("stored_responses", "memory", answers),
        Notes(**{"kept alice": 3, "kept bob": 1}),
        Notes(**{"kept alice": 1}),
    ]
    assert await count_kept(kinds, {Owner("kept alice")}) == {"stored_responses": 2, "notes": 4}
    assert await delete_kept(kinds, {Owner("kept alice"), Owner("nobody")}) == {"stored_responses": 2, "notes": 4}
    assert await count_kept(kinds, {Owner("kept alice")}) == {"stored_responses": 0, "notes": 0}
    assert await answers.find("kept alice", ["a", "b"], max_bytes=1_000_000) == {}
    assert await count_kept(kinds, {Owner("kept bob")}) == {"stored_responses": 1, "notes": 1}
    await delete_kept(kinds, {Owner("kept bob")})


def test_a_store_that_gateways_share_counts_once() -> None:
    answers = MemoryAnswers(Bounds(100, 60))
    first, same = (StoredEntries("stored_responses", "redis", answers) for _ in range(2))
    other = StoredEntries("conversations", "redis", answers)
    one, two = Notes(alice=1), Notes(alice=1)
    assert in_each_place([first, one, same, other, two]) == [first, one, other, two]
