"""One run of the agent becomes one answer, streamed or whole: the same for every endpoint."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol

from aiohttp import web

from ...config.settings import Config
from ...core import sse
from ...core.answer import Part, size_of
from ...core.errors import InternalError, ProxyError, UpstreamAnswerTooLong, UpstreamError
from ...core.events import Event
from ...translation.translator import Translator
from ..context import CONFIG, REQUEST_ID
from ..http.error_middleware import conceal
from ..http.shutdown import STOPPING
from ..observability.run_report import REPORT, RunReport
from ..recording.recorder import note_body, noted, recorded
from ..upstream.event_source import EventSource
from .event_stream import FIRST_EVENTS, AnswerStream, ClientGone
from .json_response import JsonAnswer
from .relay import Encoder, Relay
from .sinks import SINKS, BodySink, StreamSink

log = logging.getLogger(__name__)

Ending = Callable[[], Awaitable[None]]
"""Called when the answer is whole, before its last bytes go out: the client's next request may follow at once."""


class Collecting(Protocol):
    """An endpoint's whole answer: takes every chunk, then gives the body."""

    def add(self, chunk: Part) -> None: ...

    def body(self) -> bytes: ...


class Follower(Protocol):
    """Takes every chunk beside the client."""

    def add(self, chunk: Part) -> None: ...


async def collect_answer(
    request: web.Request,
    run: EventSource,
    translator: Translator,
    collector: Collecting,
    ending: Ending | None = None,
    follower: Follower | None = None,
) -> web.StreamResponse:
    """The whole answer. Raises ProxyError instead of giving half of one."""
    app, report = request.app, request[REPORT]
    report.note_call(translator)
    async with _whole(request, app[CONFIG]) as answer:
        try:
            limit = _Limit(app[CONFIG].max_answer)
            takers: list[Follower] = [limit, collector, *([follower] if follower else [])]
            with app[STOPPING].during_the_run:
                await _collect(run, translator, takers, report)
            body = collector.body()
            note_body(report, body)
            if ending is not None:
                await ending()
        except Exception as error:
            if not answer.committed:
                raise
            return await answer.fail(_as_proxy_error(error, request))
        response = await answer.finish(body)
        if answer.client_gone:
            report.note_client_gone()
        return response


async def _collect(run: EventSource, translator: Translator, takers: Sequence[Follower], report: RunReport) -> None:
    await run.open()
    async for events in run:
        if report.first_event is None:
            report.note_read(run.arrived)
        for chunk in _chunks(events, translator):
            for taker in takers:
                taker.add(chunk)
        if translator.ended:
            return
    translator.finish()


def _chunks(events: Iterable[Event], translator: Translator) -> Iterator[Part]:
    """The chunks of one read. Raises UpstreamError, but not for what stands behind the answer's end."""
    try:
        for event in events:
            yield from translator.feed(event)
    except UpstreamError:
        if not translator.ended:
            raise


async def stream_answer(
    request: web.Request,
    run: EventSource,
    translator: Translator,
    encoder: Encoder,
    ending: Ending | None = None,
    follower: Follower | None = None,
) -> web.StreamResponse:
    """The answer while it comes. Raises ProxyError only as long as nothing was sent."""
    app, report = request.app, request[REPORT]
    report.note_call(translator, encoder)
    ping = encoder.ping if app[CONFIG].keep_alive_form == "chunk" else _comment
    if follower is not None:
        encoder = _Followed(encoder, follower)

    def opening() -> bytes:
        return b"".join(map(encoder.encode, translator.open()))

    async with _stream(request, app, noted(report, opening), ping) as stream:
        answer = recorded(report, stream)
        try:
            with app[STOPPING].during_the_run:
                last = await Relay(run, translator, encoder, answer, report).relay()
            if ending is not None:
                await ending()
            await answer.end(last + sse.DONE)
            report.note_sent()
        except ClientGone:
            report.note_client_gone()
        except Exception as error:
            if not answer.committed:
                raise
            await answer.fail(_as_proxy_error(error, request))
    return answer.response


class _Limit:
    """A whole answer is held in memory until it ends, so it has a largest size; a streamed one has none."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def add(self, chunk: Part) -> None:
        """Raises UpstreamAnswerTooLong."""
        self._left -= size_of(chunk)
        if self._left < 0:
            raise UpstreamAnswerTooLong(
                "The agent's answer is longer than this server holds in one piece; ask for a stream."
            )


class _Followed:
    """An encoder whose chunks somebody else takes too."""

    def __init__(self, encoder: Encoder, follower: Follower) -> None:
        self._encoder = encoder
        self._follower = follower

    @property
    def chunks(self) -> int:
        return self._encoder.chunks

    def encode(self, chunk: Part) -> bytes:
        self._follower.add(chunk)
        return self._encoder.encode(chunk)

    def ping(self) -> bytes:
        return self._encoder.ping()


def _comment() -> bytes:
    return sse.COMMENT


def _stream(
    request: web.Request, app: web.Application, opening: Callable[[], bytes], ping: Callable[[], bytes]
) -> StreamSink:
    config, sinks = app[CONFIG], request[SINKS]
    if sinks is not None:
        return sinks.stream(config.first_event_wait, opening, ping)
    return AnswerStream(request, config, app[FIRST_EVENTS], opening, ping)


def _whole(request: web.Request, config: Config) -> BodySink:
    sinks = request[SINKS]
    return JsonAnswer(request, config) if sinks is None else sinks.body()


def _as_proxy_error(error: Exception, request: web.Request) -> ProxyError:
    """What may be told of a failure in mid-answer; the log says the rest."""
    request[REPORT].fail(error)
    if isinstance(error, ProxyError):
        return conceal(error, request)
    log.error("%s: the answer failed", request[REQUEST_ID], exc_info=error)
    return InternalError()
