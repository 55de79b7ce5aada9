"""Stores answers by `Idempotency-Key`, within bounds. Pure.

Source: the IETF draft "The Idempotency-Key HTTP Header Field": the client chooses the key, a fingerprint shows whether
the request is the same, and the server decides how long it keeps both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from multidict import istr

from ...core.caller import Owner
from ...core.errors import IdempotencyFull, InvalidRequest
from .broadcast import BroadcastBuffer

HEADER = istr("Idempotency-Key")
"""As `istr`, because every request looks it up."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def check_key(key: str) -> str:
    """Raises InvalidRequest for an invalid key."""
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"The {HEADER} header must have 1 to 255 visible ASCII characters, such as a UUID.",
            param=HEADER,
            code="invalid_idempotency_key",
        )
    return key


def fingerprint(parts: Iterable[bytes]) -> bytes:
    """Equal for the same parts of a request."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()


class Entry(Protocol):
    """The answer of one key."""

    @property
    def scope(self) -> str:
        """The caller: keys of different callers are different."""
        ...

    @property
    def key(self) -> str: ...

    @property
    def buffer(self) -> BroadcastBuffer: ...

    @property
    def over(self) -> bool:
        """The run has ended."""
        ...


E = TypeVar("E", bound=Entry)


class IdempotencyCache(Generic[E]):
    """Entries within three bounds: their number, the bytes of each, and the bytes of all.

    If there are too many entries, the caller's own oldest is removed before another caller's. If there are too many
    bytes, the oldest answer's body is evicted, but its key stays: the agent is still not run twice.
    """

    def __init__(self, *, max_entries: int, max_size: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_size = max_size
        self._max_bytes = max_bytes
        # state
        self._entries: dict[tuple[str, str], E] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, scope: str, key: str) -> E | None:
        return self._entries.get((scope, key))

    def add(self, entry: E) -> E | None:
        """Returns the entry that it replaced, if any. Raises IdempotencyFull if all runs are still active."""
        removed = None
        if len(self._entries) >= self._max_entries:
            ended = [each for each in self._entries.values() if each.over]
            if not ended:
                raise IdempotencyFull(f"Too many requests with an {HEADER} are running; try again a little later.")
            removed = next((each for each in ended if each.scope == entry.scope), ended[0])
            self.remove(removed)
        self._entries[entry.scope, entry.key] = entry
        return removed

    def ended_of(self, owner: Owner) -> list[E]:
        """The entries of this owner whose runs are over."""
        return [each for each in self._entries.values() if each.over and owner.has(each.scope)]

    def remove(self, entry: E) -> None:
        """Removes the entry with its key."""
        if self._entries.get((entry.scope, entry.key)) is entry:
            del self._entries[entry.scope, entry.key]
            self.evict_body(entry)

    def write(self, entry: E, piece: bytes) -> None:
        """Appends to the entry's answer and makes room for it; an answer without room loses its body."""
        if entry.buffer.is_replayable:
            if self._has_room(entry, len(piece)):
                self.bytes += len(piece)
            else:
                self.evict_body(entry)
        entry.buffer.write(piece)

    def evict_body(self, entry: E) -> None:
        if entry.buffer.is_replayable:
            self.bytes -= entry.buffer.size
            entry.buffer.discard_history()

    def _has_room(self, entry: E, more: int) -> bool:
        if entry.buffer.size + more > self._max_size or more > self._max_bytes:
            return False
        for each in self._entries.values():
            if self.bytes + more <= self._max_bytes:
                break
            if each.over and each is not entry:
                self.evict_body(each)
        return self.bytes + more <= self._max_bytes
