"""Sinks that write an answer into a SharedAnswer instead of a client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from aiohttp import web

from ...core.errors import ProxyError
from ...pipeline.answers import StreamedAnswer
from .shared_answer import SharedAnswer


class SharedStreamSink:
    """Receives a streamed answer in place of a client's `AnswerStream`."""

    def __init__(self, shared: SharedAnswer, first_event_wait: float, answer: StreamedAnswer) -> None:
        self._shared = shared
        self._first_event_wait = first_event_wait
        self._answer = answer
        self.response = web.Response()
        """A placeholder: each reader has a response of its own."""

    async def __aenter__(self) -> Self:
        self._shared.answer = self._answer
        self._shared.encoder = self._shared.failing = self._answer.encoder
        self._shared.ping = self._answer.ping
        self._shared.begin(streamed=True)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._first_event_wait, self._commit_early)
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._timer.cancel()

    @property
    def committed(self) -> bool:
        return self._shared.committed

    async def write(self, data: bytes) -> None:
        self._timer.cancel()
        if not self.write_now(data):
            await self.wait_drained()

    def write_now(self, data: bytes) -> bool:
        return self._shared.write(data)

    async def wait_drained(self) -> None:
        await self._shared.drained()

    async def end(self, pieces: Sequence[bytes]) -> None:
        """Writes the last bytes and the end without an await, so that no reader runs in between."""
        self._timer.cancel()
        self._shared.write(b"".join(pieces))
        self._shared.end()

    async def fail(self, error: ProxyError) -> None:
        self._timer.cancel()
        self._shared.fail(error)

    def _commit_early(self) -> None:
        if data := self._answer.open():
            self._shared.write(data)
        else:
            self._shared.commit()


class SharedBodySink:
    """Receives a whole answer in place of a client's `JsonAnswer`."""

    committed = False
    client_gone = False

    def __init__(self, shared: SharedAnswer) -> None:
        self._shared = shared

    async def __aenter__(self) -> Self:
        self._shared.begin(streamed=False)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """`IdempotentRuns` stores the failure."""

    async def finish(self, body: bytes) -> web.StreamResponse:
        self._shared.write(body)
        self._shared.end()
        return web.Response()

    async def fail(self, error: ProxyError) -> web.StreamResponse:
        raise error


class SharedSinkFactory:
    """Makes the sinks of a shared answer."""

    def __init__(self, shared: SharedAnswer) -> None:
        self.shared = shared

    def stream(self, first_event_wait: float, answer: StreamedAnswer) -> SharedStreamSink:
        return SharedStreamSink(self.shared, first_event_wait, answer)

    def body(self) -> SharedBodySink:
        return SharedBodySink(self.shared)
