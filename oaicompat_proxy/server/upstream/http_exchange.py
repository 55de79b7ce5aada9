"""One request to the gateway and its answer, read in the callbacks of the connection.

A general HTTP client wakes a task for every packet, which costs more than all of the translation. Here what the
socket brings can be pushed straight to whoever takes it. What arrived before a fault is delivered before the
fault is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from ...core.errors import AgentRunTimeout, UpstreamError, UpstreamInterrupted, UpstreamStartTimeout, UpstreamTimeout
from ..deadlines import Deadlines

T = TypeVar("T")
"""What is made of a read."""

MAX_UNREAD = 256 * 1024
"""Bytes that are held for a reader before the socket is left alone."""


class Limits(NamedTuple):
    """Seconds from the request on; infinite where there is no limit."""

    start: float = math.inf
    """Until the first byte of the answer's body."""
    whole: float = math.inf
    """Until its last."""


NO_LIMITS = Limits()

NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


class Line(Protocol):
    """The connection, as an exchange needs it."""

    loop: asyncio.AbstractEventLoop
    paused: bool

    def deadlines(self, length: float) -> Deadlines: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Exchange:
    """One request and its answer. Read it with `read`, or have it pushed with `pump`; then `finish` or `cut`."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_feed",
        "_first_watch",
        "_is_delimited",
        "_last_sign",
        "_loop",
        "_pieces",
        "_silence_timeout",
        "_start_deadline",
        "_started",
        "_take",
        "_waiter",
        "_watch",
        "arrived",
        "complete",
        "failure",
        "head_complete",
        "headers",
        "on_end",
        "received",
        "status",
        "unread",
    )

    def __init__(self, connection: Line, silence_timeout: float | None, limits: Limits = NO_LIMITS) -> None:
        """`silence_timeout`: seconds; None for no limit."""
        self._connection = connection
        self._silence_timeout = silence = silence_timeout or math.inf
        self._loop = loop = connection.loop
        now = loop.time()
        start, whole = limits
        self._start_deadline, self._deadline = now + start, now + whole
        # moving
        self.status = 0
        self.headers: Mapping[bytes, bytes] = NO_HEADERS
        """Names and values, as they came, until they are taken."""
        self.head_complete = False
        self._is_delimited = False
        self.complete = False
        self.received = 0
        """Bytes of the body."""
        self.arrived = 0.0
        """By `time.perf_counter()`, when the first of what is, or was last, held for a reader came."""
        self.on_end: Callable[[], None] | None = None
        """Told once, when the answer is complete or has failed."""
        self.failure: UpstreamError | None = None
        """Why there is no whole answer, and will be none."""
        self._pieces: list[bytes] = []
        self.unread = 0
        self._feed: Callable[[bytes], Any] | None = None
        self._take: Callable[[Any], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._last_sign = now
        self._started = False
        self._watch: asyncio.TimerHandle | None = None
        self._first_watch: Deadlines | None = None
        first = min(silence, start, whole)
        if first < math.inf:
            self._first_watch = connection.deadlines(first)
            self._first_watch.set(self, loop)

    def take_headers(self) -> Mapping[bytes, bytes]:
        """Once: many answers are open at a time, and nobody needs the headers any more. Names in small letters."""
        headers = dict(zip(map(bytes.lower, self.headers), self.headers.values(), strict=True))
        self.headers = NO_HEADERS
        self._is_delimited = b"transfer-encoding" in headers or b"content-length" in headers
        return headers

    @property
    def is_delimited(self) -> bool:
        """The body says itself where it ends."""
        if self.headers:
            self.take_headers()
        return self._is_delimited

    async def head(self) -> None:
        """Waits for status and headers. Raises UpstreamError and its kin."""
        while not self.head_complete:
            await self._wait()

    async def read(self) -> bytes:
        """What has come since the last read; empty at the end. Raises UpstreamError and its kin."""
        pieces = self._pieces
        while not pieces:
            if self.complete:
                return b""
            self.resume()
            await self._wait()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        self.resume()
        return data

    async def pump(self, feed: Callable[[bytes], T], take: Callable[[T], bool]) -> None:
        """Gives what `feed` makes of every read to `take`, in the callback of the connection.

        Until that returns False or all is read. Raises what they raise, and UpstreamError and its kin.
        """
        if self._pieces and not take(feed(await self.read())):
            return
        self._feed, self._take = feed, take
        try:
            while self._take is not None and not self.complete:
                await self._wait()
        finally:
            self._feed = self._take = None

    def pause(self) -> None:
        """No more for now; what is on its way may still come."""
        if not self.complete:  # then the connection may be another's
            self._connection.pause()

    def resume(self) -> None:
        if self._connection.paused and not self.complete:
            self._last_sign = self._loop.time()  # until now nobody listened
            self._connection.resume()

    async def finish(self, within: float) -> None:
        """After the last byte that counts: waits for the end of the body, so that the connection is used again."""
        with contextlib.suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(within):
                while await self.read():
                    pass
        self.cut()

    def cut(self, failure: UpstreamError | None = None) -> None:
        """Gives up what is still to come, and with it the connection. `failure`: is what a reader gets."""
        if not self.complete:
            self._fail(failure or UpstreamInterrupted("The run was given up."))
            self._connection.close()

    # from the connection

    def deliver(self, data: bytes) -> None:
        """Hands on what a read brought of the body."""
        self._last_sign = self._loop.time()
        if data:
            self._started = True
            self.received += len(data)
            if self._take is not None:
                self._push(data)
            else:
                if not self._pieces:
                    self.arrived = perf_counter()
                self._pieces.append(data)
                self.unread += len(data)
                if self.unread > MAX_UNREAD:
                    self._connection.pause()
        if self.complete:
            self._end()
        elif self._take is None:
            self._wake()

    def _push(self, data: bytes) -> None:
        failure = None
        try:
            if self._take(self._feed(data)):  # type: ignore[misc]  # both are there
                return
        except Exception as error:
            failure = error
        self._take = None
        self._wake(failure)

    def lose(self, failure: UpstreamError) -> None:
        """The connection is gone before the end of the answer."""
        self._fail(failure)

    def _fail(self, failure: UpstreamError) -> None:
        if not self.complete and self.failure is None:
            self.failure = failure
            self._end()

    def _end(self) -> None:
        if self._first_watch is not None:
            self._first_watch.lift(self)
        if self._watch is not None:
            self._watch.cancel()
        self._wake()
        if self.on_end is not None:
            tell, self.on_end = self.on_end, None  # who is told may hold us
            tell()

    def _watch_from(self, now: float) -> None:
        """One timer for all of the answer: it looks again when the next limit may be over."""
        silent = max(self._last_sign + self._silence_timeout - now, self._silence_timeout / 10)
        start = math.inf if self._started else self._start_deadline - now
        delay = min(silent, start, self._deadline - now)
        if delay < math.inf:
            self._watch = self._loop.call_later(delay, self.miss_deadline)

    def miss_deadline(self) -> None:
        """Some limit may be over."""
        now = self._loop.time()
        failure = self._overdue(now)
        if failure is None:
            self._watch_from(now)
            return
        self._fail(failure)
        self._connection.close()

    def _overdue(self, now: float) -> UpstreamError | None:
        if now >= self._deadline:
            return AgentRunTimeout("The agent's run took longer than this server lets it; it was stopped.")
        if now >= self._start_deadline and not self._started:
            return UpstreamStartTimeout("The agent gave no first sign in time.")
        if now >= self._last_sign + self._silence_timeout and not self._connection.paused:
            return UpstreamTimeout("The agent was silent for too long.")
        return None

    async def _wait(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self, error: Exception | None = None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(None)
