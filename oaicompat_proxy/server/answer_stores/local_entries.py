"""Entries that a store could not take, in the memory of this process tree.

They are newer than what the store has under the same names, until it takes a newer value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .memory_answers import MAX_BYTES_OF_CALLER, MemoryAnswers
from .stored_answers import NoAnswers


class LocalEntries:
    """The entries of one store, in a memory that the processes of a tree share."""

    def __init__(self, memory: MemoryAnswers | None) -> None:
        """`memory`: None for a store whose entries are lost if it cannot take them."""
        self._memory = NoAnswers() if memory is None else memory
        # state
        self._is_used = False
        """This process has added entries. Only then a successful write looks for an older entry."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None) -> None:
        """Called when the store has not taken the entries."""
        self._is_used = True
        await self._memory.add(scope, entries, ttl=ttl)

    async def remove_older(self, scope: str, names: Iterable[str]) -> None:
        """Called when the store has taken newer values."""
        if self._is_used:
            await self._memory.delete(scope, names)

    async def holds(self, scope: str, name: str, value: bytes | None) -> bool:
        """Whether this value is here: then the store has none under its name."""
        return value is not None and (await self.find(scope, [name], max_bytes=MAX_BYTES_OF_CALLER)).get(name) == value

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        return await self._memory.find(scope, names, max_bytes=max_bytes)

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        await self._memory.delete(scope, names)

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        return await self._memory.count(scope, with_users=with_users)

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        return await self._memory.delete_all(scope, with_users=with_users)
