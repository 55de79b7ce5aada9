"""One run's answer for a request and all its retries: written once, read live by each request.

The sinks of this module take the place of a client's connection, so the code that makes an answer does not depend on
its readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ...api.protocol import StreamEncoder
from ...core.errors import IdempotentAnswerGone, InvalidRequest, ProxyError, without_trace
from ...pipeline.answers import StreamedAnswer
from ..answering.event_stream import HIGH_WATER
from .broadcast import BroadcastBuffer, BroadcastReader
from .cache import IdempotencyCache
from .kept_answer import KeptAnswer

FIRST_GRACE = 2.0
"""Seconds after the first broken connection; twice as long after each further one. Codex 0.171.0 was measured to retry
after 0.4, 0.6, 0.9, 1.8 and 3.3 s. A person who stops a turn also breaks the connection, and no retry follows.
"""


class Failing(Protocol):
    """Encodes the failure of a stream."""

    def fail(self, error: ProxyError) -> bytes: ...


class SharedAnswer:
    """The answer of one run: known step by step are its form, its bytes, and its end or failure."""

    is_retried_soon: bool = False
    """The client repeats the request at once after a broken connection, and later after each further one."""
    is_copy: bool = False
    """Another process makes the answer, and stores it."""
    stop_reason: ProxyError | None = None
    """Why the run is stopped; None: it has no readers."""
    failure: ProxyError | None = None
    """Why the run failed. If the answer had begun, its bytes end with the failure, too."""
    committed: bool = False
    """Readers get status 200 from now on, even if there are no bytes yet."""

    def __init__(
        self,
        scope: str,
        key: str,
        fingerprint: bytes,
        cache: IdempotencyCache[SharedAnswer],
        *,
        grace: float = 0,
        kept: KeptAnswer | None = None,
    ) -> None:
        """`kept`: the record of an answer that is read by its id."""
        self.scope = scope
        self.key = key
        self.fingerprint = fingerprint
        self.grace = grace
        """Seconds that the run continues without a reader."""
        self.cache = cache
        self.kept = kept
        # state
        self._breaks = 0
        """How often the run was left without a reader."""
        self.buffer = BroadcastBuffer()
        self.streamed: bool | None = None
        """Whether the answer is a stream; None before the request is parsed."""
        self.ping: Callable[[], bytes] = bytes
        """Encodes a keep-alive that fits the bytes written last; the buffer has no keep-alives."""
        self.answer: StreamedAnswer | None = None
        """The source of the stream's bytes, until its end."""
        self.is_followed: Callable[[], bool] = bool
        """Whether another process waits for the end of the run."""
        self.encoder: StreamEncoder | None = None
        """The encoder of a stream."""
        self.failing: Failing | None = None
        """Encodes the end of a stream whose own end is lost."""
        self._changed = asyncio.Event()
        if kept is not None:
            kept.on_open = self._notify

    @property
    def over(self) -> bool:
        return self.buffer.complete or self.failure is not None

    @property
    def has_client_key(self) -> bool:
        """The client has sent an `Idempotency-Key`; the server's own names have spaces."""
        return " " not in self.key

    def next_grace(self) -> float:
        """Seconds that the run continues without a reader, from now on."""
        if not self.buffer.is_replayable:
            return 0
        if not self.is_retried_soon:
            return self.grace
        self._breaks += 1
        return min(self.grace, FIRST_GRACE * (1 << min(self._breaks - 1, 10)))

    # called by the run

    def begin(self, *, streamed: bool) -> None:
        self.streamed = streamed
        self._notify()

    def commit(self) -> None:
        self.committed = True
        self._notify()

    def write(self, data: bytes) -> bool:
        """Appends bytes. Returns whether the readers keep up."""
        self.committed = True
        self.cache.write(self, data)
        self._notify()
        return self.buffer.is_replayable or self.buffer.buffered <= HIGH_WATER

    async def drained(self) -> None:
        """Returns when the slowest reader has read enough, or has left."""
        while not self.buffer.is_replayable and self.buffer.buffered > HIGH_WATER:
            await self._changed.wait()

    def end(self) -> None:
        self.buffer.end()
        last = self.ping()
        self.ping = lambda: last  # releases the translator
        self.answer = None
        self._notify()

    def fail(self, error: ProxyError) -> None:
        """Ends the answer: a stream that has begun ends with the failure, otherwise each reader gets the error."""
        if self.over:
            return
        self.failure = without_trace(error)
        ending = self.answer or self.failing
        if self.committed and ending is not None:
            self.write(ending.fail(error))
            self.end()
        self._notify()

    # called by readers

    def add_reader(self, skipped: int = 0) -> BroadcastReader:
        """Adds a reader of all events behind the first `skipped`. Raises IdempotentAnswerGone."""
        if not self.buffer.is_replayable:
            raise IdempotentAnswerGone(
                "The run of this request was begun, and its answer is too long to be kept for a retry; "
                "the agent is not run twice."
            )
        return self.buffer.new_reader(skipped)

    def remove_reader(self, reader: BroadcastReader) -> None:
        reader.close()
        self._notify()

    async def is_stream(self) -> bool:
        """Waits until the form of the answer is known. Raises ProxyError if the run failed before."""
        while self.streamed is None:
            if self.failure is not None:
                raise without_trace(self.failure)
            await self._changed.wait()
        return self.streamed

    async def read_first(self, reader: BroadcastReader) -> bytes:
        """The bytes that go out with status 200: a keep-alive if there are no others yet.

        Empty for a client that already has events: a keep-alive repeats the number of the last one, which the client
        did not ask for. Raises ProxyError.
        """
        while not self.committed:
            if self.failure is not None:
                raise without_trace(self.failure)
            await self._changed.wait()
        data = reader.read()
        if data:
            self._notify()
        return data if data or reader.at_end or reader.has_skipped else self.ping()

    async def first_body(self) -> bytes:
        """The body of a kept answer before its run. Raises ProxyError if the run failed before the body was stored."""
        assert self.kept is not None
        while self.kept.first_body is None:
            if self.failure is not None:
                raise without_trace(self.failure)
            if self.buffer.complete:
                raise IdempotentAnswerGone("Another process has run this request. The agent is not run twice.")
            await self._changed.wait()
        return self.kept.first_body

    async def read(self, reader: BroadcastReader) -> bytes:
        """The next bytes, as whole events; empty at the end. Raises ProxyError."""
        while True:
            data = reader.read()
            if data:
                self._notify()
            if data or reader.at_end:
                return data
            if self.failure is not None:
                raise without_trace(self.failure)
            await self._changed.wait()

    async def read_all(self, reader: BroadcastReader) -> bytes:
        """All bytes of a complete answer. Raises ProxyError if the run failed, also in mid-stream."""
        pieces: list[bytes] = []
        while data := await self.read(reader):
            pieces.append(data)
        if self.failure is not None:
            raise without_trace(self.failure)
        return b"".join(pieces)

    def _notify(self) -> None:
        """Wakes the run and all readers; each checks its own condition."""
        self._changed.set()
        self._changed = asyncio.Event()


def events_gone() -> InvalidRequest:
    return InvalidRequest(
        "The events of this answer are not kept any more. Ask for the answer without 'stream'.", param="stream"
    )


def not_a_stream() -> InvalidRequest:
    return InvalidRequest("This answer was not streamed. Ask for it without 'stream'.", param="stream")
