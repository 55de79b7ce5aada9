"""A hash table in shared memory for a process and its forks, of a fixed size.

There is no lock. If two processes write a slot at once its checksum fails, and it counts as empty.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import time

_HEAD = struct.Struct("<16s8sdI")
"""The key's digest, a checksum, the Unix time of expiry, and the length of the value."""

CANDIDATES = 4
"""Candidate slots of a key: if all are taken, the one that expires first is overwritten."""


class SharedTable:
    """Short values by key."""

    def __init__(self, *, slots: int, slot_size: int) -> None:
        """`slot_size`: in bytes. The kernel allocates memory only for slots that are used."""
        self._slots = slots
        self._size = slot_size
        self.memory = mmap.mmap(-1, slots * slot_size)

    @property
    def max_value(self) -> int:
        """Bytes of a value, at most."""
        return self._size - _HEAD.size

    def put(self, key: str, value: bytes, *, until: float) -> bool:
        """Returns whether the value fits. `until`: Unix time of expiry."""
        if len(value) > self.max_value:
            return False
        digest = _digest(key)
        place = self._choose(digest)
        head = _HEAD.pack(digest, _checksum(digest, until, value), until, len(value))
        self.memory[place : place + len(head) + len(value)] = head + value
        return True

    def delete(self, key: str) -> None:
        """Deletes the value, if there is one."""
        digest = _digest(key)
        for place in self._candidates(digest):
            if self._head(place)[0] == digest:
                self.memory[place : place + _HEAD.size] = bytes(_HEAD.size)

    def get(self, key: str) -> bytes | None:
        digest, now = _digest(key), time.time()
        for place in self._candidates(digest):
            found, checksum, until, length = self._head(place)
            if found == digest and until >= now and length <= self.max_value:
                value = bytes(self.memory[place + _HEAD.size : place + _HEAD.size + length])
                if checksum == _checksum(digest, until, value):
                    return value
        return None

    def _choose(self, digest: bytes) -> int:
        places = self._candidates(digest)
        for place in places:
            if self._head(place)[0] == digest:
                return place
        return min(places, key=lambda place: float(self._head(place)[2]))

    def _candidates(self, digest: bytes) -> list[int]:
        first = int.from_bytes(digest[:8], "big")
        return [(first + step) % self._slots * self._size for step in range(CANDIDATES)]

    def _head(self, place: int) -> tuple[bytes, bytes, float, int]:
        digest, checksum, until, length = _HEAD.unpack_from(self.memory, place)
        return digest, checksum, until, length


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _checksum(digest: bytes, until: float, value: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<d", until) + value, key=digest, digest_size=8).digest()
