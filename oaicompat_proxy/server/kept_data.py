"""What is kept of callers, by its kind: the one place that lists it and deletes it.

A kind is anything that outlives the request it came with and that has an owner, who is known by a caller's scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol


class KeptData(Protocol):
    """One kind of data. Both methods may raise SessionsUnavailable."""

    @property
    def kind(self) -> str:
        """The name of the kind, as a list shows it."""

    async def count(self, scope: str) -> int:
        """Number of things that are kept of this caller."""
        ...

    async def delete(self, scope: str) -> int:
        """Deletes them, and returns their number."""
        ...


class Answers(Protocol):
    """As `stored_answers.StoredAnswers` has it."""

    async def count(self, scope: str) -> int: ...

    async def delete_all(self, scope: str) -> int: ...


class StoredEntries:
    """What is stored where the answers are: an entry for each input, response, conversation and request."""

    def __init__(self, kind: str, answers: Answers, scope_of_part: Callable[[str], str] = str) -> None:
        """`scope_of_part`: from a caller's scope the one of these entries."""
        self.kind = kind
        self._answers = answers
        self._scope_of_part = scope_of_part

    async def count(self, scope: str) -> int:
        return await self._answers.count(self._scope_of_part(scope))

    async def delete(self, scope: str) -> int:
        return await self._answers.delete_all(self._scope_of_part(scope))


async def count_kept(kinds: Sequence[KeptData], scopes: Iterable[str]) -> Mapping[str, int]:
    """Of each kind, what is kept of these callers. Kinds of one name are added up. Raises SessionsUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for scope in scopes:
        for each in kinds:
            counts[each.kind] += await each.count(scope)
    return counts


async def delete_kept(kinds: Sequence[KeptData], scopes: Iterable[str]) -> Mapping[str, int]:
    """Deletes it, and returns the numbers as `count_kept` does. Raises SessionsUnavailable."""
    counts = dict.fromkeys((each.kind for each in kinds), 0)
    for scope in scopes:
        for each in kinds:
            counts[each.kind] += await each.delete(scope)
    return counts
