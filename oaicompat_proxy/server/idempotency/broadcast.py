"""An answer while it is written, for any number of readers: each reads it whole, from its beginning.

A tape keeps everything, until its owner sheds it: then it takes no new readers, and holds only what those that are
there have still to read.
"""

from __future__ import annotations

MOST_AT_ONCE = 64 * 1024
"""Bytes that a reader is given at once, unless one piece is longer."""


class Tape:
    """Pieces of bytes, none of which is ever cut."""

    def __init__(self) -> None:
        # moving
        self._pieces: list[bytes] = []
        self._shed_pieces = 0
        self._readers: set[Reader] = set()
        self.size = 0
        """Bytes that were written."""
        self.held = 0
        """Bytes that are still here."""
        self.keeps_all = True
        self.complete = False

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        self.held += len(piece)
        self._trim()

    def end(self) -> None:
        """Nothing more is written."""
        self.complete = True

    def shed(self) -> None:
        """Takes no new readers from now on, and forgets what all others have read."""
        self.keeps_all = False
        self._trim()

    def reader(self) -> Reader:
        """A new one, at the beginning; only for a tape that keeps all."""
        assert self.keeps_all
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    @property
    def is_read(self) -> bool:
        return bool(self._readers)

    # from the readers

    def take(self, position: int) -> list[bytes]:
        """The pieces from this one on, up to MOST_AT_ONCE bytes."""
        taken: list[bytes] = []
        size = 0
        for index in range(position - self._shed_pieces, len(self._pieces)):
            size += len(self._pieces[index])
            if taken and size > MOST_AT_ONCE:
                break
            taken.append(self._pieces[index])
        return taken

    def moved(self) -> None:
        """A reader has read, or left."""
        self._trim()

    def leave(self, reader: Reader) -> None:
        self._readers.discard(reader)
        self._trim()

    @property
    def length(self) -> int:
        """Pieces that were written."""
        return self._shed_pieces + len(self._pieces)

    def _trim(self) -> None:
        if self.keeps_all:
            return
        slowest = min((reader.position for reader in self._readers), default=self.length)
        count = slowest - self._shed_pieces
        self.held -= sum(map(len, self._pieces[:count]))
        del self._pieces[:count]
        self._shed_pieces = slowest


class Reader:
    """One reader's place on a tape. `close` it."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        # moving
        self.position = 0

    def read(self) -> bytes:
        """What comes next, as whole pieces; empty if nothing has come, or nothing will."""
        pieces = self._tape.take(self.position)
        self.position += len(pieces)
        self._tape.moved()
        return b"".join(pieces)

    @property
    def at_end(self) -> bool:
        """All has been read, and nothing more will come."""
        return self._tape.complete and self.position == self._tape.length

    @property
    def is_behind(self) -> bool:
        """There is something to read."""
        return self.position < self._tape.length

    def close(self) -> None:
        self._tape.leave(self)
