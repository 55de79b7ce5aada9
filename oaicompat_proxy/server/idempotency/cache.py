"""Requests that carry an `Idempotency-Key`: which are the same, and how many answers are kept for them.

Source: the IETF draft "The Idempotency-Key HTTP Header Field": the key is the client's, a fingerprint tells whether
the request is the same, and how long both are kept is the server's affair.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from ...core.errors import IdempotencyFull, InvalidRequest
from .broadcast import Tape

HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def check_key(key: str) -> str:
    """Raises InvalidRequest for a key that cannot be."""
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


class Kept(Protocol):
    """What is kept for one key."""

    @property
    def scope(self) -> str:
        """Who calls: the keys of different callers are never the same."""
        ...

    @property
    def key(self) -> str: ...

    @property
    def tape(self) -> Tape: ...

    @property
    def over(self) -> bool:
        """The run is."""
        ...


K = TypeVar("K", bound=Kept)


class Shelf(Generic[K]):
    """What is kept, within three bounds: how many, the bytes of each, and the bytes of all.

    Where there are too many a caller's own oldest goes before another's. Where there are too many bytes the oldest
    answer is shed, but not its key: so the agent is still not run twice.
    """

    def __init__(self, *, most: int, largest: int, most_bytes: int) -> None:
        self._most = most
        self._largest = largest
        self._most_bytes = most_bytes
        # moving
        self._kept: dict[tuple[str, str], K] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, scope: str, key: str) -> K | None:
        return self._kept.get((scope, key))

    def put(self, item: K) -> K | None:
        """Returns the one that had to go, if any. Raises IdempotencyFull if all runs are still going on."""
        gone = None
        if len(self._kept) >= self._most:
            over = [each for each in self._kept.values() if each.over]
            if not over:
                raise IdempotencyFull(f"Too many requests with an {HEADER} are running; try again a little later.")
            gone = next((each for each in over if each.scope == item.scope), over[0])
            self.drop(gone)
        self._kept[item.scope, item.key] = item
        return gone

    def drop(self, item: K) -> None:
        """Forgets it, key and all."""
        if self._kept.get((item.scope, item.key)) is item:
            del self._kept[item.scope, item.key]
            self.shed(item)

    def write(self, item: K, piece: bytes) -> None:
        """Adds to its answer, and makes room for that; an answer that finds none is shed."""
        if item.tape.keeps_all:
            if self._has_room(item, len(piece)):
                self.bytes += len(piece)
            else:
                self.shed(item)
        item.tape.write(piece)

    def shed(self, item: K) -> None:
        if item.tape.keeps_all:
            self.bytes -= item.tape.size
            item.tape.shed()

    def _has_room(self, item: K, more: int) -> bool:
        if item.tape.size + more > self._largest or more > self._most_bytes:
            return False
        for each in self._kept.values():
            if self.bytes + more <= self._most_bytes:
                break
            if each.over and each is not item:
                self.shed(each)
        return self.bytes + more <= self._most_bytes
