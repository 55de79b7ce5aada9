"""Interfaces of the destination of an answer: the client's connection, or an answer that several requests share."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

from ..core.errors import ProxyError
from ..pipeline.answers import StreamedAnswer


class StreamSource(Protocol):
    """The bytes that a sink sends by itself, such as keep-alives; `pipeline.answers.StreamedAnswer` makes them."""

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

    async def end(self, pieces: Sequence[bytes]) -> None: ...

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
    """Makes the sinks of a request whose answer is shared."""

    def stream(self, first_event_wait: float, answer: StreamedAnswer, /) -> StreamSink: ...

    def body(self) -> BodySink: ...
