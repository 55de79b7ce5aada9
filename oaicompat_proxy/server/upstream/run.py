"""One run of the agent: its call and its event stream over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from ...core.errors import ProxyError, UpstreamError, UpstreamFrameTooLong, UpstreamInterrupted
from ...core.events import Event
from ...core.sse import FrameReader
from ...dialects.protocol import HttpCall, Reader, UnbufferedReader
from ..observability.run_recorder import ReadLog
from .compressed_reads import CompressedReads
from .event_source import FlushTimer, OnGatewayBytes, TakeEvents, UntilHeld, Watch
from .http_client import NO_HEADERS, HttpClient
from .http_exchange import Exchange, Limits
from .response_check import UNKNOWN_APP, check_app, check_credentials, check_stream
from .run_state import RunState

END_OF_BODY = 0.5
"""Seconds for the end of the body after the agent's last event; a connection that takes longer is not reused."""

MAX_FIRST_FRAME = 64 * 1024
"""Bytes of a run's first frame, which holds little more than the start of the run."""


class Run:
    """An EventSource: `open` calls the gateway; after the events comes `finish` or `abort`.

    The events of a read are parsed lazily; iterating them raises UpstreamError at an invalid event.
    """

    read_log: ReadLog | None = None
    """Set with `on_gateway_bytes`: records pushed reads in its place."""
    on_rejected: Callable[[], None] | None = None
    """Called when the answer to the call is no event stream."""
    for_client = False
    """The headers hold the client's credentials, so their rejection is the client's error."""
    means_unknown_app: Callable[[bytes], bool] | None = None
    """Whether an error body says that the app is unknown."""

    def __init__(
        self,
        client: HttpClient,
        call: HttpCall,
        reader: Reader,
        limits: Limits,
        headers: Mapping[str, str] = NO_HEADERS,
        watch: Watch | None = None,
    ) -> None:
        self._client = client
        self._limits = limits
        self._headers = headers
        self._watch = watch
        # state
        self._reader = reader
        self.on_gateway_bytes: OnGatewayBytes | None = None
        """Set before `open`: receives the bytes of every read, decompressed."""
        self.sent = 0
        """Bytes of the call's body."""
        self.upstream_request_id = ""
        """The gateway's `X-Request-Id`, if it sends one."""
        self._call: HttpCall | None = call
        self._exchange: Exchange | None = None
        self._compressed: CompressedReads | None = None
        self._ahead = b""
        """Bytes that `first_frame` and `look_ahead` have read."""
        self._state: RunState = "not_sent"
        self._ended = False
        """There are no more events."""
        self._flush_timer: FlushTimer | None = None
        """Of the events that the reader holds back; few readers do."""

    @property
    def state(self) -> RunState:
        return "finished" if self._reader.finished else self._state

    @property
    def fully_read(self) -> bool:
        """The run is finished, and the response body has been read to its end."""
        exchange = self._exchange
        return exchange is not None and exchange.complete and self._reader.finished

    def watch(self, watch: Watch) -> None:
        """Adds a function that receives every event, after earlier ones. Only before `open`."""
        first = self._watch
        self._watch = watch if first is None else lambda event: watch(first(event))

    @property
    def call(self) -> HttpCall | None:
        """The request that starts the run, until it is sent."""
        return self._call

    @property
    def received(self) -> int:
        """Bytes of the response's body so far."""
        return self._exchange.received if self._exchange is not None else 0

    @property
    def arrived(self) -> float:
        return self._exchange.arrived if self._exchange is not None else 0.0

    @property
    def execution(self) -> str:
        return self._reader.execution_id

    async def open(self) -> None:
        """Raises UpstreamError or a subclass without an event stream; InvalidKey and Forbidden for a client's key.

        After a cancellation the run may go on: the gateway may have received the call if `state` is `sent`.
        """
        if self._state == "accepted":
            return
        if self._exchange is None:
            assert self._call is not None
            path, body = self._call.path, self._call.body
            self._exchange = self._client.post_on_idle(
                path, body, headers=self._headers, limits=self._limits
            ) or await self._client.request(
                "POST", path, body, headers=self._headers, limits=self._limits, retry=True, wait=False
            )
            self._state = "sent"
            self.sent = len(body)
            del body
            self._call = None  # frees the conversation
        exchange = self._exchange
        await exchange.head()
        headers = exchange.take_headers()
        self.upstream_request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        try:
            if exchange.status in UNKNOWN_APP and self.means_unknown_app is not None:
                await check_app(exchange, self.means_unknown_app)
            if self.for_client:
                check_credentials(exchange.status)
            check_stream(exchange, headers)
        except ProxyError:
            self._state = "rejected"
            exchange.abort()
            if self.on_rejected is not None:
                self.on_rejected()
            raise
        encoding = headers.get(b"content-encoding")
        if encoding is not None and (encoding := encoding.strip().lower()) not in (b"", b"identity"):
            self._compressed = CompressedReads(encoding.decode("latin-1"))
        self._state = "accepted"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Iterable[Event]:
        """The events of the next read, or at the end of the stream those that the reader held back.

        Raises UpstreamError or a subclass.
        """
        if self._ended:
            raise StopAsyncIteration
        if self._compressed is not None and (piece := await self._compressed.next_piece()) is not None:
            return self._feed([piece])
        chunks, at_end = ([self._ahead], False) if self._ahead else await self._read()
        if chunks:
            self._ahead = b""
            if self._compressed is None:
                return self._feed(chunks)
            self._compressed.add(b"".join(chunks))
            return ()
        self._ended = at_end or self._reader.finished
        self._flush_timer = None
        events = self._reader.flush(at_end=at_end)
        return events if self._watch is None else map(self._watch, events)

    async def first_frame(self) -> bytes:
        """The data of the first frame, after `open` and before any event; the frame is read again as events.

        Empty if there is no frame, or it is too long or compressed. Raises UpstreamError or a subclass.
        """
        assert self._exchange is not None
        frames = FrameReader(max_frame=MAX_FIRST_FRAME)
        while self._compressed is None and len(self._ahead) < MAX_FIRST_FRAME:
            data = await self._exchange.read()
            if not data:
                break
            self._ahead += data
            with contextlib.suppress(UpstreamFrameTooLong):
                for frame in frames.feed(data):
                    return frame.data
        return b""

    async def look_ahead(self, markers: Iterable[bytes], *, limit: int) -> bytes | None:
        """The first of `markers` in the stream, after `open` and before any event; all is read again as events.

        None if it does not come within `limit` bytes, or the stream is compressed. Raises UpstreamError or a subclass.
        """
        assert self._exchange is not None
        wanted = [*markers]
        pattern, longest = re.compile(b"|".join(map(re.escape, wanted))), max(map(len, wanted))
        pieces, seen, size = [self._ahead], self._ahead, len(self._ahead)
        while (found := pattern.search(seen)) is None and self._compressed is None and size < limit:
            data = await self._exchange.read()
            if not data:
                break
            pieces.append(data)
            size += len(data)
            seen = seen[1 - longest :] + data
        self._ahead = b"".join(pieces)
        return found[0] if found else None

    async def push_to(self, take: TakeEvents) -> None:
        """Passes the events of each read to `take`, in the callback of the connection, until it returns False."""
        if self._compressed is not None:
            async for events in self:
                if not take(events):
                    return
            return
        exchange, reader = self._exchange, self._reader
        assert exchange is not None
        feed: Callable[[list[bytes]], Iterable[Event]] = self._feed
        log: ReadLog | None = None
        if self._watch is None and (self.read_log or self.on_gateway_bytes is None):
            feed, log = reader.feed_chunks, self.read_log
        stopped = bool(self._ahead) and not take(await anext(self))
        until_held = None if isinstance(reader, UnbufferedReader) else UntilHeld(take, reader)
        while not stopped and not self._ended:
            if until_held is None:
                stopped = await exchange.push_to(feed, take, log)
            elif reader.flush_delay is None:
                stopped = await exchange.push_to(feed, until_held.take, log) and not until_held.holds
            if not stopped:
                stopped = not take(await anext(self))

    async def _read(self) -> tuple[list[bytes], bool]:
        """The next chunks, and whether the stream has ended.

        Without chunks and end, the reader's `flush_delay` has passed. If the reader has the run's end already, a
        failing connection counts as the end of the stream.
        """
        exchange, timer = self._exchange, self._flush_timer
        assert exchange is not None
        if self._reader.flush_delay is None:
            self._flush_timer = None
            chunks = await exchange.read_chunks()
            return chunks, not chunks
        if timer is None:
            timer = self._flush_timer = FlushTimer()
        loop = asyncio.get_running_loop()
        deadline = timer.deadline(self._reader, loop.time())
        if timer.is_over:
            return [], False
        try:
            async with asyncio.timeout_at(deadline):
                chunks = await exchange.read_chunks()
            return chunks, not chunks
        except TimeoutError:
            return [], False
        except UpstreamError:
            if not self._reader.finished and loop.time() < deadline:
                raise
            return [], self._reader.finished  # if not: a busy loop was late for both; the next read raises the failure

    def _feed(self, chunks: list[bytes]) -> Iterable[Event]:
        if self.on_gateway_bytes is not None:
            self.on_gateway_bytes(b"".join(chunks))
        events = self._reader.feed_chunks(chunks)
        return events if self._watch is None else map(self._watch, events)

    def pause(self) -> None:
        """Stops reading the socket, so that TCP's flow control reaches the gateway."""
        for each in (self._exchange, self._compressed):
            if each is not None:
                each.pause()

    def resume(self) -> None:
        for each in (self._exchange, self._compressed):
            if each is not None:
                each.resume()

    async def finish(self) -> None:
        """Reads the end of the body after the last event, so that the connection can be used again."""
        if self._exchange is not None:
            await self._exchange.finish(END_OF_BODY)

    async def drain(self) -> None:
        """Reads to the last event of the agent and drops all events. Raises UpstreamError or a subclass."""
        await self.open()
        self.resume()
        async for events in self:
            for _ in events:
                pass
            if self._reader.finished:
                return
        raise UpstreamInterrupted("The agent's stream ended before the agent said that it was done.")

    def abort(self, failure: UpstreamError | None = None) -> None:
        """Closes the connection unless the response is complete. `failure`: what a reader's call raises."""
        if self._exchange is not None:
            self._exchange.abort(failure)
        if self._compressed is not None:
            self._compressed.stop()
