"""A hash table in shared memory for a process and its forks, of a fixed size.

There is no lock. If two processes write one slot at the same time, its checksum fails and the slot counts as empty.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import time

_HEAD = struct.Struct("<16s8s8sdI")
"""The key's digest, a checksum, the owner's digest, the Unix time of expiry, and the length of the value."""

CANDIDATES = 4
"""Candidate slots of a key: if all are taken, the one that expires first is overwritten."""

NOBODY = bytes(8)


class SharedTable:
    """Short values by key."""

    def __init__(self, *, slots: int, slot_size: int, candidates: int = CANDIDATES) -> None:
        """`slot_size`: in bytes; the kernel allocates only the pages in use. `candidates`: slots of each key."""
        self._slots = slots
        self._size = slot_size
        self._count = candidates
        self.memory = mmap.mmap(-1, slots * slot_size)

    @property
    def max_value(self) -> int:
        """Bytes of a value, at most."""
        return self._size - _HEAD.size

    def put(self, key: str, value: bytes, *, until: float, owner: str = "") -> bool:
        """Returns whether the value fits. `until`: Unix time of expiry. `owner`: if no slot is free, the value takes
        the place of another one of the same owner, if there is one.
        """
        if len(value) > self.max_value:
            return False
        digest, mark = _digest(key), _digest(owner)[:8] if owner else NOBODY
        place = self._choose(digest, mark)
        head = _HEAD.pack(digest, _checksum(digest, mark, until, value), mark, until, len(value))
        self.memory[place : place + len(head) + len(value)] = head + value
        return True

    def delete(self, key: str) -> None:
        """Deletes the value, if there is one."""
        digest, memory = _digest(key), self.memory
        for place in self._candidates(digest):
            if memory[place : place + len(digest)] == digest:
                memory[place : place + _HEAD.size] = bytes(_HEAD.size)

    def holds(self, key: str) -> bool:
        """Whether the key has a slot, even if its value has expired."""
        digest, memory = _digest(key), self.memory
        return any(memory[place : place + len(digest)] == digest for place in self._candidates(digest))

    def get(self, key: str) -> bytes | None:
        digest, memory, now = _digest(key), self.memory, time.time()
        for place in self._candidates(digest):
            if memory[place : place + len(digest)] != digest:
                continue
            _, checksum, mark, until, length = _HEAD.unpack_from(memory, place)
            if until >= now and length <= self.max_value:
                value = memory[place + _HEAD.size : place + _HEAD.size + length]
                if checksum == _checksum(digest, mark, until, value):
                    return value
        return None

    def _choose(self, digest: bytes, mark: bytes) -> int:
        """The key's own slot, else one that is free, else one of the owner's, else any: the one that expires first."""
        places, memory, now = self._candidates(digest), self.memory, time.time()
        for place in places:
            if memory[place : place + len(digest)] == digest:
                return place
        best, chosen = (3, 0.0), 0
        for place in places:
            _, _, owner, until, _ = _HEAD.unpack_from(memory, place)
            if until < now:
                return place
            rank = (1 if owner == mark != NOBODY else 2), until
            if rank < best:
                best, chosen = rank, place
        return chosen

    def _candidates(self, digest: bytes) -> list[int]:
        first = int.from_bytes(digest[:8], "big")
        return [(first + step) % self._slots * self._size for step in range(self._count)]


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _checksum(digest: bytes, mark: bytes, until: float, value: bytes) -> bytes:
    return hashlib.blake2b(mark + struct.pack("<d", until) + value, key=digest, digest_size=8).digest()
