"""Lists each caller's stored entries, oldest first, in memory that a process shares with its forks.

Each caller has a ring buffer of records of a fixed size. The rings are in one anonymous mapping. A lock on an unnamed
file excludes the other processes; the system releases it if its owner dies.
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
from dataclasses import dataclass
from typing import NamedTuple

_HEAD = struct.Struct("<32sdIIIQ")
"""The caller, the Unix time of its last entry, the place of its oldest entry, the number of records from there on, and
of those that are entries, their bytes.
"""
_RECORD = struct.Struct("<16sI")
"""An entry and its size; a deleted one has no name."""

_DELETED = bytes(16)

CANDIDATES = 8
"""Candidate rings of a caller: if all are taken, the one that was used least recently is reassigned."""

MAX_ENTRIES = 1 << 31
"""Larger than any ring, so only the ring is a bound."""

LOCK_WAIT = 0.1
"""Seconds: a process that was stopped may hold the lock. Then the others go on without it, and at worst count wrongly.
"""


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):  # needs no writable directory
        return os.memfd_create("oaicompat-ledgers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


_LOCK = _nameless_file()


class Entry(NamedTuple):
    name: bytes
    size: int


@dataclass(slots=True)
class _Ring:
    """The ring of one caller. Its counts may be wrong after a process went on without the lock."""

    first: int = 0
    """The place of the oldest record."""
    records: int = 0
    entries: int = 0
    """Records that are not deleted."""
    bytes: int = 0

    def remove(self, entry: Entry) -> None:
        self.entries, self.bytes = max(0, self.entries - 1), max(0, self.bytes - entry.size)


class Ledgers:
    """The rings of all callers. Names of entries have 16 bytes, names of callers up to 32."""

    def __init__(self, *, callers: int, max_entries: int, max_bytes: int) -> None:
        """The bounds of one caller. `max_entries` also bounds its records, deleted ones included."""
        self._callers = callers
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._size = _HEAD.size + max_entries * _RECORD.size
        self._memory = mmap.mmap(-1, callers * self._size)
        self._depth = 0

    def add(
        self, caller: bytes, name: bytes, size: int, *, max_entries: int = MAX_ENTRIES, is_new: bool = False
    ) -> list[Entry]:
        """Returns the entries that this one evicts. An entry of the same name is replaced.

        `max_entries`: entries of the caller. `is_new`: no entry has this name, so none is looked for.
        """
        evicted = []
        with self.locked():
            place, ring = self._find_or_assign(caller)
            if not is_new:
                self._delete(place, ring, name)
            while ring.records and (
                ring.records >= self._max_entries or ring.entries >= max_entries or ring.bytes + size > self._max_bytes
            ):
                oldest = self._clear(self._record(place, ring.first))
                ring.first, ring.records = (ring.first + 1) % self._max_entries, ring.records - 1
                if oldest.name != _DELETED:
                    ring.remove(oldest)
                    evicted.append(oldest)
            _RECORD.pack_into(self._memory, self._record(place, ring.first + ring.records), name, size)
            ring.records, ring.entries, ring.bytes = ring.records + 1, ring.entries + 1, ring.bytes + size
            self._write_head(place, caller, time.time(), ring)
        return evicted

    def remove(self, caller: bytes, name: bytes) -> int:
        """Returns the size of the entry; 0 if there is none."""
        with self.locked():
            place = self._find(caller)
            if place is None:
                return 0
            used, ring = self._read_head(place)
            size = self._delete(place, ring, name)
            self._write_head(place, caller, used, ring)
        return size

    def count(self, callers: bytes) -> int:
        """Number of entries of all callers whose names begin with `callers`."""
        return sum(len(self._entries(place)) for place in self._places(callers))

    def clear(self, callers: bytes) -> list[Entry]:
        """Removes and returns all entries of callers whose names begin with `callers`."""
        entries: list[Entry] = []
        with self.locked():
            for place in self._places(callers):
                entries += self._entries(place)
                self._memory[place : place + self._size] = bytes(self._size)
        return entries

    def total(self, caller: bytes) -> int:
        """Bytes of the caller's entries."""
        place = self._find(caller)
        return 0 if place is None else self._read_head(place)[1].bytes

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Excludes changes by other processes. May be nested."""
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
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.lockf(_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0)

    def _candidates(self, caller: bytes) -> list[int]:
        first = int.from_bytes(caller[-8:], "big")
        return [(first + step) % self._callers * self._size for step in range(CANDIDATES)]

    def _find(self, caller: bytes) -> int | None:
        memory = self._memory
        return next(
            (place for place in self._candidates(caller) if memory[place : place + len(caller)] == caller), None
        )

    def _find_or_assign(self, caller: bytes) -> tuple[int, _Ring]:
        """The place of the caller's ring, and the ring."""
        found = self._find(caller)
        if found is not None:
            return found, self._read_head(found)[1]
        oldest = min(self._candidates(caller), key=lambda place: self._read_head(place)[0])
        self._memory[oldest : oldest + self._size] = bytes(self._size)
        return oldest, _Ring()

    def _places(self, callers: bytes) -> list[int]:
        places = range(0, len(self._memory), self._size)
        return [place for place in places if self._memory[place : place + len(callers)] == callers]

    def _entries(self, place: int) -> list[Entry]:
        """The entries of the ring at this place, oldest first."""
        ring = self._read_head(place)[1]
        records = (self._record(place, ring.first + number) for number in range(min(ring.records, self._max_entries)))
        entries = (Entry(*_RECORD.unpack_from(self._memory, record)) for record in records)
        return [entry for entry in entries if entry.name != _DELETED]

    def _read_head(self, place: int) -> tuple[float, _Ring]:
        """The time of the caller's last entry, and the ring."""
        _, used, *ring = _HEAD.unpack_from(self._memory, place)
        return used, _Ring(*ring)

    def _write_head(self, place: int, caller: bytes, used: float, ring: _Ring) -> None:
        _HEAD.pack_into(self._memory, place, caller, used, ring.first, ring.records, ring.entries, ring.bytes)

    def _record(self, place: int, number: int) -> int:
        return place + _HEAD.size + number % self._max_entries * _RECORD.size

    def _delete(self, place: int, ring: _Ring, name: bytes) -> int:
        """Returns the size of the entry; 0 if there is none."""
        start, end = place + _HEAD.size, place + self._size
        found = self._memory.find(name, start, end)
        while found >= 0 and (found - start) % _RECORD.size:
            found = self._memory.find(name, found + 1, end)
        if found < 0:
            return 0
        entry = self._clear(found)
        ring.remove(entry)
        return entry.size

    def _clear(self, record: int) -> Entry:
        """Empties a record and returns its entry."""
        entry = Entry(*_RECORD.unpack_from(self._memory, record))
        _RECORD.pack_into(self._memory, record, _DELETED, 0)
        return entry
