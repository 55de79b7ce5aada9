"""Where an answer goes: to the client's own connection, or to whoever waits for the same run."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

from ..core.errors import ProxyError
from ..pipeline.answers import StreamedAnswer


class StreamSource(Protocol):
    """What a sink sends by itself; `pipeline.answers.StreamedAnswer` has it."""

    def open(self) -> bytes: ...

    def ping(self) -> bytes: ...

    def fail(self, error: ProxyError) -> bytes: ...


class StreamSink(Protocol):
    """A context for one streamed answer; `end` or `fail` ends it."""

    @property
    def committed(self) -> bool: ...

    @property
    def response(self) -> web.StreamResponse: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def write(self, data: bytes) -> None: ...

    def write_now(self, data: bytes) -> bool: ...

    async def wait_drained(self) -> None: ...

    async def end(self, data: bytes) -> None: ...

    async def fail(self, error: ProxyError) -> None: ...


class BodySink(Protocol):
    """A context for one whole answer; `finish` or `fail` ends it."""

    @property
    def committed(self) -> bool: ...

    @property
    def client_gone(self) -> bool: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def finish(self, body: bytes) -> web.StreamResponse: ...

    async def fail(self, error: ProxyError) -> web.StreamResponse: ...


class SinkFactory(Protocol):
    """Makes the sinks of one request whose answer is not for its own connection alone."""

    def stream(self, first_event_wait: float, answer: StreamedAnswer, /) -> StreamSink: ...

    def body(self) -> BodySink: ...
