"""Stores the parts of answers that later requests refer to; each store has a module of its own.

An entry belongs to one caller. Number, bytes and age of each caller's entries are bounded; the caller's oldest ones are
evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..core.errors import NotFound

ENTRIES_OF_ANSWER = 2
"""Its input and its body."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what one caller has in a store, by the settings; each store has a bound of its bytes beside them."""

    answers: int
    """An answer has ENTRIES_OF_ANSWER entries, a conversation one."""
    ttl: float
    """Seconds for which an entry is stored, if there is room for so long."""

    @property
    def entries(self) -> int:
        return self.answers * ENTRIES_OF_ANSWER


class StoredAnswers(Protocol):
    """Entries of all callers, each found by its caller's scope and its name."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        """`ttl`: seconds for which they are stored, if there is room for so long; None: as long as answers are."""

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        """Stores an entry that several requests change, in all processes. Returns False, and changes nothing, if it is
        not `old` any more; None: there is none yet. Raises SessionsUnavailable, and NotFound where nothing is stored.
        """
        ...

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        """Raises SessionsUnavailable."""
        ...

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        """The entries that exist. `most`: bytes of all of them. Raises InvalidRequest for more, SessionsUnavailable."""
        ...

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        """Number of the caller's entries. Raises SessionsUnavailable.

        `with_users`: the scope is a key's, and the entries of all of its users count, too.
        """
        ...

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        """Deletes all entries that `count` counts, and returns their number. Raises SessionsUnavailable."""
        ...

    async def close(self) -> None: ...


class NoAnswers:
    """Nothing is stored."""

    async def close(self) -> None:
        pass

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        pass

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        raise NotFound("This endpoint is not supported: this server stores nothing.", code="unsupported_endpoint")

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        pass

    async def find(self, scope: str, names: Iterable[str], *, most: int) -> dict[str, bytes]:
        return {}

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        return 0

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        return 0
