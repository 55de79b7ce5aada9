"""Lists and deletes the data that is kept of callers, by kind.

A kind of data outlives the request that brought it and has an owner: one caller, or a key with its users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ..core.caller import Owner


class KeptData(Protocol):
    """One kind of data. Both methods may raise StoreUnavailable."""

    @property
    def kind(self) -> str:
        """The name of the kind, as a list shows it."""

    @property
    def place(self) -> str:
        """The store, if several gateways may share it; else empty."""

    async def count(self, owner: Owner) -> int:
        """Number of entries that are kept of this owner."""
        ...

    async def delete(self, owner: Owner) -> int:
        """Deletes the owner's entries, and returns their number."""
        ...


class Answers(Protocol):
    """The methods of `stored_answers.StoredAnswers` that are needed here."""

    async def count(self, scope: str, *, with_users: bool = False) -> int: ...

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int: ...


class StoredEntries:
    """Entries in the store of answers: inputs, responses, conversations and requests."""

    def __init__(self, kind: str, place: str, answers: Answers, scope_of_part: Callable[[str], str] = str) -> None:
        """`scope_of_part`: maps a caller's scope to the scope of these entries."""
        self.kind = kind
        self.place = place
        self._answers = answers
        self._scope_of_part = scope_of_part

    async def count(self, owner: Owner) -> int:
        return await self._answers.count(self._scope_of_part(owner.scope), with_users=owner.with_users)

    async def delete(self, owner: Owner) -> int:
        return await self._answers.delete_all(self._scope_of_part(owner.scope), with_users=owner.with_users)


def in_each_place(kinds: Iterable[KeptData]) -> list[KeptData]:
    """The kinds, with each store that several gateways share only once."""
    places: set[tuple[str, str]] = set()
    found = []
    for each in kinds:
        if not each.place or (each.kind, each.place) not in places:
            found.append(each)
            places.add((each.kind, each.place))
    return found


async def count_kept(kinds: Sequence[KeptData], owners: Iterable[Owner]) -> Mapping[str, int]:
    """The number of entries of these owners, by kind. Kinds of one name are added up. Raises StoreUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for owner in owners:
        for each in kinds:
            counts[each.kind] += await each.count(owner)
    return counts


async def delete_kept(kinds: Sequence[KeptData], owners: Iterable[Owner]) -> Mapping[str, int]:
    """Deletes the entries of these owners, and returns their number by kind. Raises StoreUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for owner in owners:
        for each in kinds:
            counts[each.kind] += await each.delete(owner)
    return counts
