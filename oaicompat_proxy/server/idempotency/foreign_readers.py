"""The readers of this process's answers whose clients are connected to another process.

The other process calls for the next events each time its client has read the last ones. So nothing is sent without a
call, a slow client slows the agent down (back-pressure), and a reader whose process died expires.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from ...core.errors import ProxyError, RunCancelled
from .answer_calls import HOLD, STOP, AnswerCall, AnswerReply, count_events, decode_call
from .broadcast import BroadcastReader
from .run_once import IdempotentRuns
from .shared_answer import SharedAnswer
from .stored_outcome import encode_failure

READ_WAIT = 2.0
"""Seconds for which a call waits for the next event. The reply also shows that this process is alive."""

READER_TTL = 15.0
"""Seconds without a call after which a reader counts as disconnected."""

MAX_READERS = 1000
"""Readers of other processes; further ones are refused."""


class _ForeignReader:
    def __init__(self, shared: SharedAnswer, reader: BroadcastReader, skipped: int) -> None:
        self.shared = shared
        self.reader = reader
        # state
        self.skipped = skipped
        """Number of events that the reader has, or that were sent to it."""
        self.expiry: asyncio.TimerHandle | None = None


class ForeignReaders:
    """Answers the calls of other processes."""

    def __init__(self, runs: IdempotentRuns) -> None:
        self._runs = runs
        # state
        self._readers: dict[str, _ForeignReader] = {}
        """The readers, by the name that the calling process has chosen."""
        self._changed = asyncio.Event()

    async def answer(self, asked: bytes) -> bytes:
        call = decode_call(asked)
        shared = self._runs.find(call.scope, call.answer)
        if shared is None:
            return AnswerReply("gone").encode()
        if call.wants == STOP:
            await self._runs.stop(call.scope, call.answer, cancelled())
            return AnswerReply("ended").encode()
        try:
            return (await self._read(call, shared)).encode()
        except ProxyError as error:
            self._remove(call.reader)
            return AnswerReply("failed", encode_failure(error)).encode()

    async def until_read(self, within: float) -> None:
        """Waits at most `within` seconds until all readers of ended answers have the end. Called at shutdown."""
        try:
            async with asyncio.timeout(within):
                while any(each.shared.over for each in self._readers.values()):
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _read(self, call: AnswerCall, shared: SharedAnswer) -> AnswerReply:
        """Raises ProxyError if the answer failed before it began."""
        found = self._readers.get(call.reader)
        if found is None or found.skipped != call.skipped:
            self._remove(call.reader)
            if not shared.buffer.is_replayable or len(self._readers) >= MAX_READERS:
                return AnswerReply("gone")
            reader = self._runs.add_reader(shared, call.skipped)
            found = self._readers[call.reader] = _ForeignReader(shared, reader, call.skipped)
        self._expire_later(call.reader, found)
        if call.wants == HOLD:
            return AnswerReply("live", skipped=found.skipped)
        return await self._next_events(call.reader, found)

    async def _next_events(self, name: str, found: _ForeignReader) -> AnswerReply:
        shared, data = found.shared, b""
        try:
            async with asyncio.timeout(READ_WAIT):
                if not await shared.is_stream():
                    self._remove(name)
                    return AnswerReply("not a stream")
                data = await shared.read(found.reader)
        except TimeoutError:
            pass
        before, found.skipped = found.skipped, found.skipped + count_events(data)
        state: Literal["live", "ended"] = "live"
        if found.reader.at_end:
            self._remove(name)
            state = "ended"
        ping = b"" if found.reader.is_behind or not shared.committed else shared.ping()
        return AnswerReply(state, data, before, ping.decode(), shared.committed)

    def _expire_later(self, name: str, found: _ForeignReader) -> None:
        if found.expiry is not None:
            found.expiry.cancel()
        found.expiry = asyncio.get_running_loop().call_later(READER_TTL, self._remove, name)

    def _remove(self, name: str) -> None:
        found = self._readers.pop(name, None)
        if found is None:
            return
        if found.expiry is not None:
            found.expiry.cancel()
        self._runs.remove_reader(found.shared, found.reader)
        self._changed.set()
        self._changed = asyncio.Event()


def cancelled() -> RunCancelled:
    return RunCancelled("The run was cancelled by the id of its answer.")
