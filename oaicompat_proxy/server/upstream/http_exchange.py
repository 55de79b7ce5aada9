"""One HTTP request to the gateway and its response, read in the callbacks of the connection.

A general HTTP client wakes a task for each read of the socket, which costs more than the whole translation. Here a read
is pushed straight to its consumer. Bytes that arrived before a failure are delivered before the failure is raised.
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
from ..event_loop.shared_timer import Due, shared_timer
from ..observability.run_recorder import ReadLog

T = TypeVar("T")  # the result of `feed` for one read

MAX_BUFFERED = 256 * 1024
"""Bytes that are buffered for a reader before the socket is paused."""


class Limits(NamedTuple):
    """Time limits of an exchange, in seconds; infinite where there is no limit."""

    start: float = math.inf
    """Time from the request to the first byte of the response's body."""
    whole: float = math.inf
    """Time from the request to the end of the response."""
    silence: float = math.inf
    """Time between two reads."""


SMALL_CHUNK = 64
"""Bytes. Buffered chunks that are smaller on average are joined: each is an object of 33 bytes besides its own."""

NO_LIMITS = Limits()
NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


class Connection(Protocol):
    """The connection, as an exchange uses it."""

    loop: asyncio.AbstractEventLoop
    paused: bool

    @property
    def deferred(self) -> object: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Exchange:
    """One request and its response. Read it with `read` or `push_to`, then call `finish` or `abort`."""

    __slots__ = (
        "_begun",
        "_chunks",
        "_connection",
        "_count_at",
        "_counted",
        "_feed",
        "_is_delimited",
        "_last_read",
        "_limits",
        "_log",
        "_loop",
        "_take",
        "_timer",
        "_waiter",
        "arrived",
        "buffered",
        "complete",
        "failure",
        "head_complete",
        "headers",
        "on_end",
        "received",
        "status",
    )

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._loop = connection.loop
        self._limits = limits
        self._begun = self._last_read = self._loop.time()
        # state
        self.status = 0
        self.headers: Mapping[bytes, bytes] = NO_HEADERS
        """Names and values as received, until `take_headers`."""
        self.head_complete = self._is_delimited = self.complete = False
        self.received = 0
        """Bytes of the body so far."""
        self.arrived = 0.0
        """`time.perf_counter()` at which the oldest buffered byte arrived, or the oldest of the last read."""
        self.failure: UpstreamError | None = None
        """Why the response cannot be completed."""
        self.on_end: Callable[[Exchange], None] | None = None
        """Called once the response is complete or has failed, in place of a task that would wait for it."""
        self._chunks: list[bytes] = []
        self.buffered = 0
        """Bytes that wait for a reader."""
        self._feed: Any = None
        self._take: Callable[[Any], bool] | None = None
        self._log: ReadLog | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: Due | None = None
        if limits is not NO_LIMITS:
            self._set_timer(min(limits))

    def take_headers(self) -> Mapping[bytes, bytes]:
        """The response's headers, names in lower case. They are released: many responses are open at a time."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.headers = NO_HEADERS
        self._is_delimited = b"transfer-encoding" in headers or b"content-length" in headers
        return headers

    @property
    def is_delimited(self) -> bool:
        """Whether the body's framing, not the close of the connection, marks its end."""
        if self.headers:  # a task that waits for the head has yet to take them
            self.headers = self.take_headers()
        return self._is_delimited

    async def head(self) -> None:
        """Waits for status and headers. Raises UpstreamError or a subclass."""
        while not self.head_complete:
            await self._wait()

    def take_body(self) -> bytes:
        """The buffered bytes, without waiting for more."""
        body = b"".join(self._chunks)
        self._chunks.clear()
        self.buffered = 0
        return body

    async def read(self) -> bytes:
        """The bytes since the last read; empty at the end. Raises UpstreamError or a subclass."""
        return b"".join(await self.read_chunks())

    async def read_chunks(self) -> list[bytes]:
        """`read` without a join."""
        while not self._chunks:
            if self.complete:
                return []
            self.resume()
            await self._wait()
        chunks, self._chunks, self.buffered = self._chunks, [], 0
        self.resume()
        return chunks

    async def push_to(
        self, feed: Callable[[list[bytes]], T], take: Callable[[T], bool], log: ReadLog | None = None
    ) -> bool:
        """Calls `take(feed(chunks))` for each read, in the callback of the connection; `feed` must not keep the list.

        Ends when `take` returns False or the response ends; returns whether `take` ended it. Raises what `feed` and
        `take` raise, and UpstreamError or a subclass. `log`: has each read first.
        """
        if self._chunks and log is not None:
            log.gateway_bytes(b"".join(self._chunks))
        if self._chunks and not take(feed(await self.read_chunks())):
            return True
        self._feed, self._take, self._log = feed, take, log
        self._counted = self._count_at = self.received
        try:
            while self._take is not None and not self.complete:
                await self._wait()
            return self._take is None
        finally:
            if log is not None:
                self._count(log)
            self._feed = self._take = self._log = self._waiter = None

    def pause(self) -> None:
        """Stops reading the socket; bytes that the loop has already read may still come."""
        if not self.complete:  # else the connection may serve another exchange
            self._connection.pause()

    def resume(self) -> None:
        if self._connection.paused and not self.complete:
            self._last_read = self._loop.time()  # the silence limit does not count a pause
            self._connection.resume()

    async def finish(self, within: float) -> None:
        """Reads the rest of the body for at most `within` seconds, so that the connection can be used again."""
        with contextlib.suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(within):
                while await self.read_chunks():
                    pass
        self.abort()

    def abort(self, failure: UpstreamError | None = None) -> None:
        """Closes the connection unless the response is complete. `failure`: what a reader's call raises."""
        if not self.complete:
            self.fail(failure or UpstreamInterrupted("The run was cancelled."))
            self._connection.close()

    # called by the connection

    def on_chunks(self, chunks: list[bytes], size: int) -> None:
        """Delivers the body's chunks of one read of the socket, of `size` bytes together."""
        self._last_read = now = self._loop.time()
        if size:
            self.received += size
            take = self._take
            if take is None:
                if not self._chunks:
                    self.arrived = perf_counter()
                self._chunks += chunks if size >= SMALL_CHUNK * len(chunks) else [b"".join(chunks)]
                self.buffered += size
                if self.buffered > MAX_BUFFERED:
                    self._connection.pause()
            else:
                log = self._log
                if log is not None:  # here and not in a function, whose call would cost as much as all of it
                    log.reads.append(b"".join(chunks))
                    log.moments.append(now)
                    if self.received >= self._count_at:
                        self._count(log)
                try:
                    if not take(self._feed(chunks)):
                        self._take = None
                except Exception as error:
                    self._take = None
                    self._wake(error)
        if self.complete:
            self._end()
        elif self._take is None:
            self._wake()

    def _count(self, log: ReadLog) -> None:
        self._count_at = self.received + log.count(self.received - self._counted)
        self._counted = self.received

    def fail(self, failure: UpstreamError) -> None:
        """Ends the exchange without a complete response; the first failure counts."""
        if not self.complete and self.failure is None:
            self.failure = failure
            self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.discard(self)
        self._wake()
        if self.on_end is not None:
            self.on_end(self)

    def _set_timer(self, delay: float) -> None:
        if delay < math.inf:
            self._timer = shared_timer(self._loop).call_later(delay, self)

    def on_time(self) -> None:
        """Checks the limits. Reads extend the silence limit but do not reset the timer, so it checks all limits."""
        now = self._loop.time()
        if (failure := self._overdue(now)) is not None:
            self.fail(failure)
            self._connection.close()
            return
        start, whole, silence = self._limits
        quiet = max(self._last_read + silence - now, silence / 10)
        self._set_timer(min(quiet, math.inf if self.received else self._begun + start - now, self._begun + whole - now))

    def _overdue(self, now: float) -> UpstreamError | None:
        start, whole, silence = self._limits
        if now >= self._begun + whole:
            return AgentRunTimeout("The agent's run took longer than this server allows; it was stopped.")
        if self._connection.deferred:  # a read that waits for a turn of the loop is no silence
            return None
        if now >= self._begun + start and not self.received:
            return UpstreamStartTimeout("The agent sent nothing in time.")
        if now >= self._last_read + silence and not self._connection.paused:
            return UpstreamTimeout("The agent was silent for too long.")
        return None

    def _wait(self) -> asyncio.Future[None]:
        """The future of the next `_wake`. Not a coroutine, whose frame would stay for as long as the run takes."""
        if self.failure is not None:
            raise self.failure
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self, error: Exception | None = None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(None)
