"""One run's answer for all requests that carry its `Idempotency-Key`: written once, read live by each of them.

`TapedStream` and `TapedJson` stand where a client's answer would: what makes an answer does not know who reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from aiohttp import web

from ...api.protocol import StreamEncoder
from ...core.errors import IdempotentAnswerGone, ProxyError
from ...pipeline.answers import StreamedAnswer
from ..answering.event_stream import HIGH_WATER
from .broadcast import Reader, Tape
from .cache import Shelf


class Recording:
    """What is known of one run: first whether it is a stream, then piece by piece what it says, or its failure."""

    def __init__(self, scope: str, key: str, fingerprint: bytes, shelf: Shelf[Recording]) -> None:
        self.scope = scope
        self.key = key
        self.fingerprint = fingerprint
        self._shelf = shelf
        # moving
        self.tape = Tape()
        self.streamed: bool | None = None
        """Whether the answer is a stream; None as long as nobody knows."""
        self.failure: ProxyError | None = None
        """What went wrong; the tape says it, too, if the answer had begun."""
        self.committed = False
        """Status 200 goes out, even if nothing has been said yet."""
        self.ping: Callable[[], bytes] = bytes
        """Encodes a keep-alive that fits what was said last; none of them is on the tape."""
        self.answer: StreamedAnswer | None = None
        """What makes a stream, as long as it is made."""
        self.encoder: StreamEncoder | None = None
        """That of a stream."""
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.tape.complete or self.failure is not None

    # for the run

    def begin(self, *, streamed: bool) -> None:
        self.streamed = streamed
        self._tell()

    def commit(self) -> None:
        self.committed = True
        self._tell()

    def write(self, data: bytes) -> bool:
        """Whether those who read keep up."""
        self.committed = True
        self._shelf.write(self, data)
        self._tell()
        return self.tape.keeps_all or self.tape.held <= HIGH_WATER

    async def drained(self) -> None:
        """Returns when the slowest has read enough, or has left."""
        while not self.tape.keeps_all and self.tape.held > HIGH_WATER:
            await self._news.wait()

    def end(self) -> None:
        self.tape.end()
        last = self.ping()
        self.ping = lambda: last  # holds nothing of what made the answer
        self.answer = None
        self._tell()

    def fail(self, error: ProxyError) -> None:
        """A stream that has begun says so itself."""
        if self.over:
            return
        self.failure = _bare(error)
        if self.committed and self.answer is not None:
            self.write(self.answer.fail(error))
            self.end()
        self._tell()

    # for those who read

    def join(self) -> Reader:
        """Raises IdempotentAnswerGone."""
        if not self.tape.keeps_all:
            raise IdempotentAnswerGone(
                "The run of this Idempotency-Key was begun, and its answer is too long to be kept for another "
                "request; the agent is not run twice."
            )
        return self.tape.reader()

    def leave(self, reader: Reader) -> None:
        reader.close()
        self._tell()

    async def is_stream(self) -> bool:
        """Raises ProxyError if the run failed before that was known."""
        while self.streamed is None:
            if self.failure is not None:
                raise _bare(self.failure)
            await self._news.wait()
        return self.streamed

    async def read_first(self, reader: Reader) -> bytes:
        """What a client is given with status 200: a ping, if nothing has been said by then. Raises ProxyError."""
        while not self.committed:
            if self.failure is not None:
                raise _bare(self.failure)
            await self._news.wait()
        data = reader.read()
        if data:
            self._tell()
        return data or self.ping()

    async def read(self, reader: Reader) -> bytes:
        """What comes next, as whole events; empty at the end. Raises ProxyError."""
        while True:
            data = reader.read()
            if data:
                self._tell()
            if data or reader.at_end:
                return data
            if self.failure is not None:
                raise _bare(self.failure)
            await self._news.wait()

    def _tell(self) -> None:
        """Wakes all who wait, whatever for: there are few of them."""
        self._news.set()
        self._news = asyncio.Event()


def _bare(error: ProxyError) -> ProxyError:
    """Without its way here: it is kept and raised again, and would keep every request that it came to in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class TapedStream:
    """Takes a streamed answer as a client's `AnswerStream` does; nobody's connection matters to it."""

    def __init__(self, recording: Recording, first_event_wait: float, answer: StreamedAnswer) -> None:
        self._recording = recording
        self._first_event_wait = first_event_wait
        self._answer = answer
        self.response = web.Response()
        """Nobody's: those who read make their own."""

    async def __aenter__(self) -> Self:
        self._recording.answer, self._recording.encoder = self._answer, self._answer.encoder
        self._recording.ping = self._answer.ping
        self._recording.begin(streamed=True)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._first_event_wait, self._commit_early)
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._timer.cancel()

    @property
    def committed(self) -> bool:
        return self._recording.committed

    async def write(self, data: bytes) -> None:
        self._timer.cancel()
        if not self.push(data):
            await self.drained()

    def push(self, data: bytes) -> bool:
        return self._recording.write(data)

    async def drained(self) -> None:
        await self._recording.drained()

    async def end(self, data: bytes) -> None:
        """The last write and the end are one: nobody reads in between."""
        self._timer.cancel()
        self._recording.write(data)
        self._recording.end()

    async def fail(self, error: ProxyError) -> None:
        self._timer.cancel()
        self._recording.fail(error)

    def _commit_early(self) -> None:
        if data := self._answer.open():
            self._recording.write(data)
        else:
            self._recording.commit()


class TapedJson:
    """Takes a whole answer as a client's `JsonAnswer` does."""

    committed = False
    client_gone = False

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def __aenter__(self) -> Self:
        self._recording.begin(streamed=False)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """A failure is told by whoever made the recording."""

    async def finish(self, body: bytes) -> web.StreamResponse:
        self._recording.write(body)
        self._recording.end()
        return web.Response()

    async def fail(self, error: ProxyError) -> web.StreamResponse:
        raise error


class SharedSinks:
    """Makes what takes an answer for all its readers."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def stream(self, first_event_wait: float, answer: StreamedAnswer) -> TapedStream:
        return TapedStream(self._recording, first_event_wait, answer)

    def body(self) -> TapedJson:
        return TapedJson(self._recording)
