"""Where an answer goes: to the client's own connection, or to whoever waits for the same run."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

from ...core.errors import ProxyError
from ..recording.recorder import Stream


class StreamSink(Stream, Protocol):
    """A context for one streamed answer; `end` or `fail` ends it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


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

    def stream(
        self, first_event_wait: float, opening: Callable[[], bytes], ping: Callable[[], bytes]
    ) -> StreamSink: ...

    def body(self) -> BodySink: ...


SINKS: web.RequestKey[SinkFactory | None] = web.RequestKey("oaicompat_proxy.sinks")
"""Takes the answer in the client's place if the request has an `Idempotency-Key`. Of a request for a run."""
