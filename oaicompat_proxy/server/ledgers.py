"""What each caller has stored, oldest first, in memory that a process shares with its forks.

A caller has a ring of entries of a fixed size. The rings are in one anonymous mapping; a lock on a file without a name
orders the processes, and the system releases it if its owner dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

_HEAD = struct.Struct("<16sdIIQ")
"""The caller, the Unix time of its last entry, the place of its oldest entry, the number of entries, their bytes."""
_RECORD = struct.Struct("<16sI")
"""An entry and its size; a deleted one has no name."""

_DELETED = bytes(16)

CANDIDATES = 8
"""Candidate rings of a caller: if all are taken, the one that was used least recently is reassigned."""

LOCK_ATTEMPTS = 200
"""A process that was stopped may hold the lock: then the others go on without it, and at worst count wrongly."""


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):  # needs no directory that can be written
        return os.memfd_create("oaicompat-ledgers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


_LOCK = _nameless_file()


class Entry(NamedTuple):
    name: bytes
    size: int


class Ledgers:
    """Names are 16 bytes. `add` returns the caller's entries that must be evicted."""

    def __init__(self, *, callers: int, most: int, most_bytes: int) -> None:
        """`most`, `most_bytes`: of the entries of one caller."""
        self._callers = callers
        self._most = most
        self._most_bytes = most_bytes
        self._size = _HEAD.size + most * _RECORD.size
        self._memory = mmap.mmap(-1, callers * self._size)
        self._depth = 0

    def add(self, caller: bytes, name: bytes, size: int) -> list[Entry]:
        """Returns the entries that this one evicts. An entry of the same name is replaced."""
        evicted = []
        with self.locked():
            place, first, count, total = self._find_or_assign(caller)
            total -= self._delete(place, name)
            while count and (count >= self._most or total + size > self._most_bytes):
                oldest = self._clear(self._record(place, first))
                first, count, total = (first + 1) % self._most, count - 1, total - oldest.size
                if oldest.name != _DELETED:
                    evicted.append(oldest)
            _RECORD.pack_into(self._memory, self._record(place, first + count), name, size)
            _HEAD.pack_into(self._memory, place, caller, time.time(), first, count + 1, max(0, total) + size)
        return evicted

    def remove(self, caller: bytes, name: bytes) -> int:
        """Returns the size of the entry; 0 if there is none."""
        with self.locked():
            place = self._find(caller)
            if place is None:
                return 0
            size = self._delete(place, name)
            _, used, first, count, total = _HEAD.unpack_from(self._memory, place)
            _HEAD.pack_into(self._memory, place, caller, used, first, count, max(0, total - size))
        return size

    def count(self, caller: bytes) -> int:
        """Number of the caller's entries."""
        return len(self._entries(self._find(caller)))

    def clear(self, caller: bytes) -> list[Entry]:
        """Removes all entries of the caller, and returns them."""
        with self.locked():
            place = self._find(caller)
            entries = self._entries(place)
            if place is not None:
                self._memory[place : place + self._size] = bytes(self._size)
        return entries

    def total(self, caller: bytes) -> int:
        """Bytes of the caller's entries."""
        place = self._find(caller)
        return 0 if place is None else int(_HEAD.unpack_from(self._memory, place)[4])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No other process changes a ledger meanwhile. May be nested."""
        if self._depth == 0:
            self._lock()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                fcntl.lockf(_LOCK, fcntl.LOCK_UN)

    def _lock(self) -> None:
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.lockf(_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0)

    def _candidates(self, caller: bytes) -> list[int]:
        first = int.from_bytes(caller[:8], "big")
        return [(first + step) % self._callers * self._size for step in range(CANDIDATES)]

    def _find(self, caller: bytes) -> int | None:
        memory = self._memory
        return next(
            (place for place in self._candidates(caller) if memory[place : place + len(caller)] == caller), None
        )

    def _find_or_assign(self, caller: bytes) -> tuple[int, int, int, int]:
        """The place of the caller's ring, its oldest entry's place in it, the number of entries and their bytes."""
        found = self._find(caller)
        if found is not None:
            return (found, *_HEAD.unpack_from(self._memory, found)[2:])
        oldest = min(self._candidates(caller), key=lambda place: float(_HEAD.unpack_from(self._memory, place)[1]))
        self._memory[oldest : oldest + self._size] = bytes(self._size)
        return oldest, 0, 0, 0

    def _entries(self, place: int | None) -> list[Entry]:
        """Of the ring at this place, oldest first."""
        if place is None:
            return []
        _, _, first, count, _ = _HEAD.unpack_from(self._memory, place)
        records = (self._record(place, number) for number in range(first, first + min(count, self._most)))
        entries = (Entry(*_RECORD.unpack_from(self._memory, record)) for record in records)
        return [entry for entry in entries if entry.name != _DELETED]

    def _record(self, place: int, number: int) -> int:
        return place + _HEAD.size + number % self._most * _RECORD.size

    def _delete(self, place: int, name: bytes) -> int:
        """Returns the size of the entry; 0 if there is none."""
        start, end = place + _HEAD.size, place + self._size
        found = self._memory.find(name, start, end)
        while found >= 0 and (found - start) % _RECORD.size:
            found = self._memory.find(name, found + 1, end)
        return 0 if found < 0 else self._clear(found).size

    def _clear(self, record: int) -> Entry:
        """The entry, whose record is empty afterwards."""
        entry = Entry(*_RECORD.unpack_from(self._memory, record))
        _RECORD.pack_into(self._memory, record, _DELETED, 0)
        return entry
