"""A buffer of bytes for any number of readers: each reads all bytes from the beginning, while they are written. Pure.

The buffer keeps all bytes until `discard_history`. After that it takes no new readers, and keeps only bytes that a
reader has still to read.
"""

from __future__ import annotations

_EVENT_END = b"\n\n"

MAX_READ = 64 * 1024
"""Bytes of one read, unless one piece is longer."""


class BroadcastBuffer:
    """Pieces of bytes; a read returns whole pieces."""

    def __init__(self) -> None:
        # state
        self._pieces: list[bytes] = []
        self._discarded = 0
        self._readers: set[BroadcastReader] = set()
        self.size = 0
        """Number of bytes written."""
        self.buffered = 0
        """Number of bytes in memory."""
        self.is_replayable = True
        self.complete = False

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        self.buffered += len(piece)
        self._trim()

    def end(self) -> None:
        """Marks the end of the bytes."""
        self.complete = True

    def discard_history(self) -> None:
        """Refuses new readers from now on, and drops the bytes that all readers have read."""
        self.is_replayable = False
        self._trim()

    def new_reader(self, skipped: int = 0) -> BroadcastReader:
        """A reader behind the first `skipped` server-sent events; only while the buffer is replayable."""
        assert self.is_replayable
        reader = BroadcastReader(self, skipped)
        self._readers.add(reader)
        return reader

    def content(self) -> bytes:
        """All bytes written so far; only while the buffer is replayable."""
        assert self.is_replayable
        return b"".join(self._pieces)

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    # called by readers

    def read_from(self, position: int) -> list[bytes]:
        """The pieces from this one on, up to MAX_READ bytes."""
        found: list[bytes] = []
        size = 0
        for index in range(position - self._discarded, len(self._pieces)):
            size += len(self._pieces[index])
            if found and size > MAX_READ:
                break
            found.append(self._pieces[index])
        return found

    def on_progress(self) -> None:
        """Called when a reader has read: drops bytes that no reader needs."""
        self._trim()

    def remove_reader(self, reader: BroadcastReader) -> None:
        self._readers.discard(reader)
        self._trim()

    @property
    def length(self) -> int:
        """Number of pieces written."""
        return self._discarded + len(self._pieces)

    def _trim(self) -> None:
        if self.is_replayable:
            return
        slowest = min((reader.position for reader in self._readers), default=self.length)
        count = slowest - self._discarded
        self.buffered -= sum(map(len, self._pieces[:count]))
        del self._pieces[:count]
        self._discarded = slowest


class BroadcastReader:
    """The position of one reader. Must be closed."""

    def __init__(self, buffer: BroadcastBuffer, skipped: int = 0) -> None:
        self._buffer = buffer
        self.has_skipped = skipped > 0
        """The reader begins behind the first events."""
        # state
        self.position = 0
        self._skipped = skipped

    def read(self) -> bytes:
        """The next whole pieces; empty if there are none yet, or at the end."""
        while pieces := self._buffer.read_from(self.position):
            self.position += len(pieces)
            self._buffer.on_progress()
            data = b"".join(pieces)
            if self._skipped:
                data, self._skipped = skip_events(data, self._skipped)
            if data:
                return data
        return b""

    @property
    def at_end(self) -> bool:
        """All bytes are read, and no more will be written."""
        return self._buffer.complete and self.position == self._buffer.length

    @property
    def is_behind(self) -> bool:
        """There are unread bytes."""
        return self.position < self._buffer.length

    def close(self) -> None:
        self._buffer.remove_reader(self)


def skip_events(data: bytes, count: int) -> tuple[bytes, int]:
    """The data without its first `count` server-sent events, and the number of events still to be skipped."""
    start = 0
    while count and start < len(data):
        start = data.index(_EVENT_END, start) + len(_EVENT_END)
        count -= 1
    return data[start:], count
