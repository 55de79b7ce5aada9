"""Stored answers in memory that a process tree shares."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from ..shared_storage.shared_table import SharedTable
from .entry_keys import entry_key, rest_of, scope_key, scope_keys
from .ledgers import Ledgers
from .stored_answers import Bounds

MAX_OF_CALLER, MAX_BYTES_OF_CALLER = 4096, 16 * 1024 * 1024
"""Entries of one caller, and their bytes, for which the memory of a process tree has room; the setting
`max_responses` may allow fewer.
"""

_TABLE = SharedTable(slots=16 * 1024, slot_size=4 * 1024, candidates=8)
"""64 MB, of which the kernel allocates only the pages in use. Most answers and inputs fit one slot."""

_LEDGERS = Ledgers(callers=512, max_entries=MAX_OF_CALLER, max_bytes=MAX_BYTES_OF_CALLER)
"""42 MB, of which the kernel allocates only the pages in use."""

_LENGTH = 4
"""Bytes of the length in front of each entry."""


class MemoryAnswers:
    """The store of one process tree."""

    def __init__(self, bounds: Bounds, table: SharedTable = _TABLE, ledgers: Ledgers = _LEDGERS) -> None:
        """`ledgers`: lists each caller's entries in the table, within bounds of its own."""
        self._bounds = bounds
        self._table = table
        self._ledgers = ledgers

    async def close(self) -> None:
        pass

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        caller, until = bytes.fromhex(scope_key(scope)), time.time() + (self._bounds.ttl if ttl is None else ttl)
        for name, value in entries.items():
            key = _short(entry_key(scope, name))
            is_new = not self._table.holds(_piece(key, 0))
            for evicted in self._ledgers.add(caller, key, len(value), max_entries=self._bounds.entries, is_new=is_new):
                self._delete(*evicted)
            self._put(key, value, until, scope)

    async def replace(self, scope: str, name: str, old: bytes | None, new: bytes) -> bool:
        with self._ledgers.locked():
            if self._get(_short(entry_key(scope, name)), MAX_BYTES_OF_CALLER) != old:
                return False
            await self.add(scope, {name: new})
            return True

    async def delete(self, scope: str, names: Iterable[str]) -> None:
        caller = bytes.fromhex(scope_key(scope))
        for name in names:
            key = _short(entry_key(scope, name))
            self._delete(key, self._ledgers.remove(caller, key))

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name in names:
            value = self._get(_short(entry_key(scope, name)), max_bytes)
            if value is not None:
                found[name] = value
                max_bytes = rest_of(max_bytes, len(value))
        return found

    async def count(self, scope: str, *, with_users: bool = False) -> int:
        return self._ledgers.count(bytes.fromhex(scope_keys(scope, with_users=with_users)))

    async def delete_all(self, scope: str, *, with_users: bool = False) -> int:
        entries = self._ledgers.clear(bytes.fromhex(scope_keys(scope, with_users=with_users)))
        for key, length in entries:
            self._delete(key, length)
        return len(entries)

    def _put(self, key: bytes, value: bytes, until: float, scope: str) -> None:
        value = len(value).to_bytes(_LENGTH, "big") + value
        for number, start in enumerate(range(0, len(value), self._table.max_value)):
            piece = value[start : start + self._table.max_value]
            self._table.put(_piece(key, number), piece, until=until, owner=scope)

    def _get(self, key: bytes, max_bytes: int) -> bytes | None:
        value = self._table.get(_piece(key, 0))
        if value is None:
            return None
        length = int.from_bytes(value[:_LENGTH], "big")
        rest_of(max_bytes, length)
        pieces = [value]
        for number in range(1, self._pieces(length)):
            piece = self._table.get(_piece(key, number))
            if piece is None:
                return None
            pieces.append(piece)
        return b"".join(pieces)[_LENGTH:]

    def _delete(self, key: bytes, length: int) -> None:
        for number in range(self._pieces(length)):
            self._table.delete(_piece(key, number))

    def _pieces(self, length: int) -> int:
        return -(-(_LENGTH + length) // self._table.max_value)


def _short(key: str) -> bytes:
    return bytes.fromhex(key)[:16]


def _piece(key: bytes, number: int) -> str:
    return f"{key.hex()}#{number}"
