"""What is kept of callers, by its kind: the one place that lists it and deletes it.

A kind is anything that outlives the request it came with and that has an owner: one caller, or a key with its users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ..core.caller import Owner


class KeptData(Protocol):
    """One kind of data. Both methods may raise SessionsUnavailable."""

    @property
    def kind(self) -> str:
        """The name of the kind, as a list shows it."""

    @property
    def place(self) -> str:
        """Where it is kept, if several gateways may keep it there together; else empty."""

    async def count(self, owner: Owner) -> int:
        """Number of things that are kept of this owner."""
        ...

    async def delete(self, owner: Owner) -> int:
        """Deletes them, and returns their number."""
        ...


class Answers(Protocol):
    """As `stored_answers.StoredAnswers` has it."""

    async def count(self, scope: str, *, with_users: bool = False) -> int: ...

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int: ...


class StoredEntries:
    """What is stored where the answers are: an entry for each input, response, conversation and request."""

    def __init__(self, kind: str, place: str, answers: Answers, scope_of_part: Callable[[str], str] = str) -> None:
        """`scope_of_part`: from a caller's scope the one of these entries."""
        self.kind = kind
        self.place = place
        self._answers = answers
        self._scope_of_part = scope_of_part

    async def count(self, owner: Owner) -> int:
        return await self._answers.count(self._scope_of_part(owner.scope), with_users=owner.with_users)

    async def delete(self, owner: Owner) -> int:
        return await self._answers.delete_all(self._scope_of_part(owner.scope), with_users=owner.with_users)


def in_each_place(kinds: Iterable[KeptData]) -> list[KeptData]:
    """Without those that several gateways keep together in one place, but for one of them."""
    places: set[tuple[str, str]] = set()
    found = []
    for each in kinds:
        if not each.place or (each.kind, each.place) not in places:
            found.append(each)
            places.add((each.kind, each.place))
    return found


async def count_kept(kinds: Sequence[KeptData], owners: Iterable[Owner]) -> Mapping[str, int]:
    """Of each kind, what is kept of these owners. Kinds of one name are added up. Raises SessionsUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for owner in owners:
        for each in kinds:
            counts[each.kind] += await each.count(owner)
    return counts


async def delete_kept(kinds: Sequence[KeptData], owners: Iterable[Owner]) -> Mapping[str, int]:
    """Deletes it, and returns the numbers as `count_kept` does. Raises SessionsUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for owner in owners:
        for each in kinds:
            counts[each.kind] += await each.delete(owner)
    return counts
