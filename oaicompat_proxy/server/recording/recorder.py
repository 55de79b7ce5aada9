"""Recording of runs (setting `record`): wraps the handlers, so that an answer costs nothing more when it is off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aiohttp import web

from ...api.openai.errors import error_body, error_ending
from ...config.settings import Config, ConfigError
from ...core.errors import ProxyError
from ...recordings.format import Endpoint, Manner
from ..context import PER_MODEL, RECEIVED, REQUEST_ID
from ..http.error_middleware import Handler, conceal
from ..observability.run_report import REPORT, RunRecorder, RunReport
from ..upstream.catalog import DEFAULT_MODEL
from .directory import open_directory
from .writer import Scribe


class Recordable(Protocol):
    """A run whose bytes can be recorded."""

    on_gateway_bytes: Callable[[bytes], None] | None


class Asked(Protocol):
    """What every endpoint's request says of its answer."""

    @property
    def model(self) -> str: ...

    @property
    def stream(self) -> bool: ...

    @property
    def include_usage(self) -> bool: ...


class Stream(Protocol):
    """The client's side of a streamed answer."""

    @property
    def committed(self) -> bool: ...

    @property
    def response(self) -> web.StreamResponse: ...

    async def write(self, data: bytes) -> None: ...

    def push(self, data: bytes) -> bool: ...

    async def drained(self) -> None: ...

    async def end(self, data: bytes) -> None: ...

    async def fail(self, error: ProxyError) -> None: ...


class Recorder:
    """Gives every request a scribe. Raises ConfigError if there is no directory to write to."""

    def __init__(self, config: Config) -> None:
        self._masked = not config.record_raw
        self._secret = config.upstream_token.encode()
        self._most = config.record_max
        try:
            self._directory = open_directory(Path(config.record), total=config.record_total)
        except OSError as error:
            raise ConfigError(f"--record cannot use {config.record}: {error.strerror}") from None

    def wrap(self, handler: Handler) -> Handler:
        async def record(request: web.Request) -> web.StreamResponse:
            request[REPORT].scribe = scribe = Scribe(
                self._directory,
                most=self._most,
                masked=self._masked,
                secret=self._secret,
                request_id=request[REQUEST_ID],
                began=request[RECEIVED],
            )
            word = "failed"
            try:
                response = await handler(request)
                word = "answered"
                return response
            except ProxyError as error:
                scribe.body(error.status, error_body(conceal(error, request)))
                raise
            except (asyncio.CancelledError, ConnectionResetError):
                word = "the client left"
                raise
            finally:
                scribe.end(word)

        return record


def tap(
    request: web.Request,
    run: Recordable,
    asked: Asked,
    endpoint: Endpoint,
    *,
    tool_names: frozenset[str] = frozenset(),
    legacy_functions: bool = False,
    echo: str = "",
    resumed: bool = False,
) -> None:
    """Begins the recording of this run, if runs are recorded."""
    scribe = request[REPORT].scribe
    if scribe is None:
        return
    config = request.app[PER_MODEL].of(asked.model or DEFAULT_MODEL)
    manner = Manner(
        endpoint=endpoint,
        model=asked.model or DEFAULT_MODEL,
        stream=asked.stream,
        include_usage=asked.include_usage,
        tool_names=tuple(sorted(tool_names)),
        legacy_functions=legacy_functions,
        echo=echo,
        reasoning_field=config.reasoning_field,
        tick_separator=config.tick_separator,
        server_tools=config.server_tools,
        confirmations=config.confirmations,
        resumed=resumed,
        dialect=config.dialect,
    )
    scribe.begin(manner)
    run.on_gateway_bytes = scribe.native


def noted(report: RunReport, opening: Callable[[], bytes]) -> Callable[[], bytes]:
    """What a stream opens with by itself, written down if runs are recorded."""
    scribe = report.scribe
    if scribe is None:
        return opening

    def note() -> bytes:
        data = opening()
        scribe.client(data)
        return data

    return note


def recorded(report: RunReport, stream: Stream) -> Stream:
    """The same for all that it is given to send."""
    scribe = report.scribe
    return stream if scribe is None else _RecordedStream(stream, scribe)


def note_body(report: RunReport, body: bytes) -> None:
    """A whole answer, if runs are recorded."""
    scribe = report.scribe
    if scribe is not None:
        scribe.body(200, body)


class _RecordedStream:
    """Notes what the client is given; the pings that keep the line open are not part of it."""

    def __init__(self, stream: Stream, scribe: RunRecorder) -> None:
        self._stream = stream
        self._scribe = scribe

    @property
    def committed(self) -> bool:
        return self._stream.committed

    @property
    def response(self) -> web.StreamResponse:
        return self._stream.response

    async def write(self, data: bytes) -> None:
        self._scribe.client(data)
        await self._stream.write(data)

    def push(self, data: bytes) -> bool:
        self._scribe.client(data)
        return self._stream.push(data)

    async def drained(self) -> None:
        await self._stream.drained()

    async def end(self, data: bytes) -> None:
        self._scribe.client(data)
        await self._stream.end(data)

    async def fail(self, error: ProxyError) -> None:
        self._scribe.client(error_ending(error))
        await self._stream.fail(error)
