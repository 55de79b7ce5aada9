"""Stores the parts of answers that later requests refer to; each store has a module of its own.

An entry belongs to one caller. Number, bytes and age of each caller's entries are bounded; the caller's oldest ones are
evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ...core.errors import NotFound

ENTRIES_OF_ANSWER = 2
"""An answer is stored as two entries: its input and its body."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one caller's entries, from the settings. Each store also bounds their bytes."""

    answers: int
    """An answer has ENTRIES_OF_ANSWER entries, a conversation one."""
    ttl: float
    """Seconds until an entry expires; it may be evicted earlier."""

    @property
    def entries(self) -> int:
        return self.answers * ENTRIES_OF_ANSWER


class StoredAnswers(Protocol):
    """Entries of all callers, each found by its caller's scope and its name."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        """`ttl`: seconds until the entries expire, or are evicted earlier; None: as for answers."""

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        """Compare and set, in all processes. Returns False, and changes nothing, if the stored value is not `old`.

        `old`: None if there must be no entry. Raises StoreUnavailable, and NotFound if answers are not stored.
        """
        ...

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        """Raises StoreUnavailable."""
        ...

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        """The entries that exist. Raises InvalidRequest if they have more than `max_bytes` bytes, StoreUnavailable."""
        ...

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        """Number of the caller's entries. Raises StoreUnavailable.

        `with_users`: the scope is that of an API key, and the entries of all of its users count, too.
        """
        ...

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        """Deletes all entries that `count` counts, and returns their number. Raises StoreUnavailable."""
        ...

    async def close(self) -> None: ...


class NoAnswers:
    """A store that stores nothing."""

    async def close(self) -> None:
        pass

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        pass

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        raise NotFound("This endpoint is not supported: this server stores nothing.", code="unsupported_endpoint")

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        pass

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        return {}

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        return 0

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        return 0
