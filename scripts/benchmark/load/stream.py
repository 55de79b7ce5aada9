"""One connection of a load: buffers bytes and finds the end of an answer."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from .checks import MARKS, Incomplete, content_length, split_chunks

_END = b"\r\n0\r\n\r\n"
_STAMP = re.compile(rb'"@([0-9]{19})"')


class Answer:
    """The bytes of one answer, with their times."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.arrivals: list[int] = []
        """Nanoseconds, for each part of a stamped run."""
        self.asked = time.monotonic()
        self.first = 0.0
        self.last = 0.0
        self.error = ""

    def raw(self) -> bytes:
        return b"".join(self.parts)

    def payload(self) -> bytes:
        """The body so far."""
        body = self.raw().partition(b"\r\n\r\n")[2]
        chunks: list[bytes] = []
        with contextlib.suppress(Incomplete, ValueError):  # a stream that is held open has no end
            split_chunks(body, chunks)
        return b"".join(chunks)


class Stream(asyncio.Protocol):
    """Sends requests on one kept connection."""

    def __init__(self, ended: Callable[[Stream], None], *, stamped: bool) -> None:
        self._ended = ended
        self._stamped = stamped
        self._transport: Any = None
        self.spoken = asyncio.Event()
        """Set when the first answer has begun, or ended."""
        # state
        self.answer = Answer()
        self.busy = False
        self.open = False
        self.window = (0, 0)
        self._headed = False
        self._left: int | None = None

    @property
    def spoke(self) -> bool:
        return self.spoken.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.open = True

    def ask(self, request: bytes) -> None:
        self.answer = Answer()
        self._headed, self._left = False, None
        self.busy = True
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if self._stamped:
            answer.arrivals.append(time.monotonic_ns())
        answer.parts.append(data)
        if not self._headed:
            self._read_head(answer)
        elif self._left is not None:
            self._left -= len(data)
        if not self.spoken.is_set():
            self._listen(answer)
        if self._left is None:
            if len(data) < len(_END):
                data = b"".join(answer.parts[-len(_END) :])
            if data.endswith(_END):
                self._end()
        elif self._left <= 0:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.busy:
            self.answer.error = f"the connection was lost: {exc or 'closed'}"
            self._end()

    def _read_head(self, answer: Answer) -> None:
        answer.first = answer.first or time.monotonic()
        raw = answer.raw()
        end = raw.find(b"\r\n\r\n")
        if end >= 0:
            self._headed = True
            length = content_length(raw[: end + 2])
            self._left = None if length is None else length + end + 4 - len(raw)

    def _listen(self, answer: Answer) -> None:
        if any(mark in answer.raw() for mark in MARKS.values()):
            self.spoken.set()

    def _end(self) -> None:
        self.busy = False
        self.answer.last = time.monotonic()
        self.spoken.set()
        self._ended(self)

    # after the load

    def mark(self) -> int:
        """The place in the answer at this moment."""
        return len(self.answer.parts)

    def count(self, marker: bytes) -> int:
        """The number of occurrences in the bytes of the window."""
        return b"".join(self.answer.parts[slice(*self.window)]).count(marker)

    def delays(self) -> Iterator[float]:
        """Seconds between a stamp and the arrival of its last byte, for the window."""
        parts = self.answer.parts[slice(*self.window)]
        arrivals = self.answer.arrivals[slice(*self.window)]
        if not arrivals:
            return
        ends = list(itertools.accumulate(map(len, parts)))
        for stamp in _STAMP.finditer(b"".join(parts)):
            arrived = arrivals[bisect.bisect_left(ends, stamp.end())]
            yield (arrived - int(stamp[1])) / 1e9
