"""Sends the answer of one run, streamed or whole, for every client API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web

from ...config.settings import Config
from ...core.errors import AnswerCut, InternalError, ProxyError
from ...pipeline.answers import StreamedAnswer, WholeAnswer
from ...translation.structured.structured_answer import StructuredAnswer
from ..context import CONTEXT, RequestContext
from ..event_loop.processor_thread import ProcessorThread
from ..http.error_middleware import redact_tokens
from ..observability.run_report import RunReport
from ..sinks import BodySink, StreamSink
from ..upstream.event_source import EventSource
from .event_stream import AnswerStream, ClientGone
from .json_response import JsonAnswer
from .relay import Relay

log = logging.getLogger(__name__)

OnComplete = Callable[[], Awaitable[None]]
"""Called when the answer is complete, before its last bytes go out: the client's next request may follow at once."""

OnFailure = Callable[[StreamedAnswer, ProxyError], Coroutine[Any, Any, None]]
"""Called when a stream that the client has begun to read fails, before the failure is encoded, or when the client has
left it. Raises nothing."""


def send_answer(
    request: web.Request,
    context: RequestContext,
    config: Config,
    run: EventSource,
    answer: StreamedAnswer | WholeAnswer,
    on_complete: OnComplete,
    on_failure: OnFailure,
) -> Coroutine[Any, Any, web.StreamResponse]:
    """Sends the answer. Raises ProxyError only as long as nothing was sent."""
    if isinstance(answer, WholeAnswer):
        return _send_whole(request, context, config, run, answer, on_complete)
    return _send_stream(request, context, config, run, answer, on_complete, on_failure)


async def _send_whole(
    request: web.Request,
    context: RequestContext,
    config: Config,
    run: EventSource,
    answer: WholeAnswer,
    on_complete: OnComplete,
) -> web.StreamResponse:
    report, sinks = context.report, context.sinks
    new_sink: BodySink = JsonAnswer(request, config) if sinks is None else sinks.body()
    async with new_sink as sink:
        try:
            with context.server.shutdown.during_run:
                await _collect(run, answer, report)
                if answer.structured is not None:
                    await _check(answer.structured, context.server.processor)
                    answer.complete()
            body = answer.body()
            if report.recording is not None:
                report.recording.body(200, body)
            await on_complete()
        except Exception as error:
            if not sink.committed:
                raise
            failure = _as_proxy_error(error, request)
            if context.on_broken_off is not None:
                context.on_broken_off(failure)
            return await sink.fail(failure)
        response = await sink.finish(body)
        if sink.client_gone:
            report.on_client_gone()
        return response


async def _collect(run: EventSource, answer: WholeAnswer, report: RunReport) -> None:
    await run.open()
    async for events in run:
        if report.first_event is None:
            report.on_read(run.arrived)
        answer.feed(events)
        if answer.ended:
            return
    answer.finish()


async def _send_stream(
    request: web.Request,
    context: RequestContext,
    config: Config,
    run: EventSource,
    answer: StreamedAnswer,
    on_complete: OnComplete,
    on_failure: OnFailure,
) -> web.StreamResponse:
    report, sinks = context.report, context.sinks
    new_sink: StreamSink = (
        AnswerStream(request, config, answer) if sinks is None else sinks.stream(config.first_event_wait, answer)
    )
    async with new_sink as sink:
        try:
            with context.server.shutdown.during_run:
                last = await Relay(run, answer, sink, report).relay()
                if answer.structured is not None:
                    await _check(answer.structured, context.server.processor)
                    last += answer.complete()
            await on_complete()
            await sink.end([*last, answer.end()])
            report.on_sent()
        except ClientGone:
            report.on_client_gone()
            _store_left(context, answer, on_failure)
        except asyncio.CancelledError:  # the client has left
            if sink.committed:
                _store_left(context, answer, on_failure)
            raise
        except Exception as error:
            if not sink.committed:
                raise
            failure = _as_proxy_error(error, request)
            if context.on_stream_failed is not None:
                context.on_stream_failed(failure)
            await on_failure(answer, failure)
            await sink.fail(failure)
    return sink.response


def _store_left(context: RequestContext, answer: StreamedAnswer, on_failure: OnFailure) -> None:
    """Stores the stream that its client has left, unless its run is complete. In a task of its own, because the run is
    stopped after this, and must not wait for the store.
    """
    if not answer.ended:
        left = AnswerCut("The client left before the end of the answer, so the run was stopped.")
        context.server.shutdown.wait_for(asyncio.create_task(on_failure(answer, left)))


async def _check(answer: StructuredAnswer, thread: ProcessorThread) -> None:
    """Checks the answer's text before its end is sent. Raises AgentOutputInvalid."""
    if answer.waits and not answer.check_briefly():
        await thread.run(answer.check)


def _as_proxy_error(error: Exception, request: web.Request) -> ProxyError:
    """The error for the client in mid-answer: errors other than ProxyError are logged, and hidden from the client."""
    context = request[CONTEXT]
    context.report.fail(error)
    if isinstance(error, ProxyError):
        return redact_tokens(error, request)
    log.error("%s: the response failed", context.request_id, exc_info=error)
    return InternalError()
