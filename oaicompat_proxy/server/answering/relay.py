"""The loop of a streamed answer: the events of each read are sent to the client in one write.

Until status 200 is out, reads are awaited one by one. After that they are pushed: the callback that brings bytes
from the agent translates them and writes them to the client, without a task switch. If the client does not keep up,
reading pauses, so that back-pressure reaches the agent's socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from ...core.errors import ProxyError
from ...core.events import Event
from ...pipeline.answers import StreamedAnswer
from ..observability.run_report import RunReport
from ..upstream.event_source import EventSource


class AnswerSink(Protocol):
    """Receives the bytes of a stream; `AnswerStream` documents each method."""

    async def write(self, data: bytes) -> None: ...

    def write_now(self, data: bytes) -> bool: ...

    async def wait_drained(self) -> None: ...


class Relay:
    """Relays one run to one client."""

    __slots__ = ("_answer", "_draining", "_failure", "_last", "_report", "_run", "_sink")

    def __init__(self, run: EventSource, answer: StreamedAnswer, sink: AnswerSink, report: RunReport) -> None:
        self._run = run
        self._report = report
        self._answer = answer
        self._sink = sink
        # state
        self._last: list[bytes] = []
        self._failure: Exception | None = None
        """Why nothing more can be sent; `StreamedAnswer.failure` holds a failure of the run."""
        self._draining: asyncio.Task[None] | None = None

    async def relay(self) -> list[bytes]:
        """Sends all bytes but those of the last read, whose pieces it returns. Raises ProxyError and ClientGone."""
        await self._run.open()
        if await self._send_first():
            try:
                await self._run.push_to(self._send)
            except ProxyError:
                self._check()
                raise
            finally:
                if self._draining is not None:
                    await self._stop_draining(self._draining)
            self._check()
        self._answer.finish()
        return self._last

    async def _send_first(self) -> bool:
        """Reads until there are bytes for the client, and sends them; returns whether more may follow.

        A method of its own, so that these events and bytes are freed before the rest of the stream is read.
        """
        async for events in self._run:
            self._report.on_read(self._run.arrived)
            pieces = self._answer.feed(events)
            if self._answer.ended:
                self._last = pieces
                return False
            data = b"".join(pieces)
            if data:
                await self._sink.write(data)
                self._report.on_sent()
            self._check()
            if data:
                return True
        return False

    def _check(self) -> None:
        """Raises the failure, if there is one."""
        failure = self._failure or self._answer.failure
        if failure is not None:
            raise failure

    def _send(self, events: Iterable[Event]) -> bool:
        """Sends the events of one read; returns whether to continue."""
        pieces = self._answer.feed(events)
        if self._answer.ended:
            self._last = pieces
            return False
        data = b"".join(pieces)
        if data and not self._sink.write_now(data):
            self._wait_for_client()
        return self._failure is None and self._answer.failure is None

    def _wait_for_client(self) -> None:
        self._run.pause()
        if self._draining is None:
            self._record_pace(slow=True)
            self._draining = asyncio.create_task(self._drain(), name="wait for a slow client")

    async def _drain(self) -> None:
        try:
            await self._sink.wait_drained()
        except Exception as error:
            self._failure = error  # the run may have to go on without the client
        finally:
            self._run.resume()
            self._draining = None
            self._record_pace(slow=False)

    def _record_pace(self, *, slow: bool) -> None:
        if self._report.recording is not None:
            self._report.recording.client_slow(slow)

    async def _stop_draining(self, draining: asyncio.Task[None]) -> None:
        draining.cancel()
        await asyncio.wait([draining])
