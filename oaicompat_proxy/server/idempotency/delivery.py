"""Sends a shared answer to one client: each client gets the same bytes, live while the run goes on.

A client that asks for another form (stream or JSON body) than the first client gets it when the answer is complete.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from ...core.errors import ProxyError
from ..answering.event_stream import AnswerStream, ClientGone
from ..answering.json_response import JsonAnswer
from ..context import CONTEXT, server_of
from ..runtime import RUNTIME
from .broadcast import BroadcastReader
from .shared_answer import SharedAnswer

log = logging.getLogger(__name__)


Convert = Callable[[bytes, bool], bytes]
"""Converts an answer into its other form, as `RetryRules` says."""


class Form(NamedTuple):
    """The form in which a client wants its answer."""

    stream: bool | None
    """None: the form of the first request."""
    convert: Convert | None


ANY_FORM = Form(None, None)


async def deliver(
    request: web.Request, shared: SharedAnswer, reader: BroadcastReader, form: Form = ANY_FORM
) -> web.StreamResponse:
    """Raises ProxyError as long as nothing was sent."""
    server_of(request).shutdown.exclude()  # shutdown interrupts the run, not its readers
    is_stream = await shared.is_stream()
    if form.convert is None or form.stream in (None, is_stream):
        return await (_deliver_stream if is_stream else _deliver_body)(request, shared, reader)
    if is_stream:
        return await _deliver_body(request, shared, reader, form.convert)
    return await _deliver_as_stream(request, shared, reader, form.convert)


async def deliver_first_body(request: web.Request, shared: SharedAnswer) -> web.StreamResponse:
    """Sends the first body of an answer whose run is in background. Raises ProxyError."""
    server_of(request).shutdown.exclude()
    async with JsonAnswer(request, request.app[RUNTIME].config) as answer:
        return await answer.finish(await shared.first_body())


async def _deliver_stream(request: web.Request, shared: SharedAnswer, reader: BroadcastReader) -> web.StreamResponse:
    """Sends the stream: each client has its own keep-alives, all other bytes are the same."""
    runtime, during_run = request.app[RUNTIME], server_of(request).shutdown.during_run

    with during_run:
        data = await shared.read_first(reader)
    async with AnswerStream(request, runtime.config, _Delivery(shared, reader)) as answer:
        try:
            with during_run:
                while not reader.at_end:
                    await answer.write(data)
                    data = await shared.read(reader)
            await answer.end([data])
        except ClientGone:
            log.info("%s: the client left before the end of its answer", request[CONTEXT].request_id)
        except ProxyError as error:
            await answer.fail(error)
    return answer.response


class _Delivery:
    """The bytes of one reader's stream beside the shared ones."""

    def __init__(self, shared: SharedAnswer, reader: BroadcastReader) -> None:
        self._shared = shared
        self._reader = reader

    def open(self) -> bytes:
        """Empty: the opening is part of the shared answer."""
        return b""

    def ping(self) -> bytes:
        """A keep-alive that fits the run's latest bytes; none for a slow client, which does not have these yet."""
        return b"" if self._reader.is_behind else self._shared.ping()

    def fail(self, error: ProxyError) -> bytes:
        """Ends this reader's stream before the shared answer ends."""
        failing = self._shared.failing
        return failing.fail(error) if failing is not None else b""


async def _deliver_as_stream(
    request: web.Request, shared: SharedAnswer, reader: BroadcastReader, convert: Convert
) -> web.StreamResponse:
    """Sends a shared answer that is one JSON body as a stream."""
    with server_of(request).shutdown.during_run:
        body = await shared.read_all(reader)
    async with AnswerStream(request, request.app[RUNTIME].config, _Delivery(shared, reader)) as answer:
        try:
            await answer.end([convert(body, True)])
        except ClientGone:
            log.info("%s: the client left before the end of its answer", request[CONTEXT].request_id)
    return answer.response


async def _deliver_body(
    request: web.Request, shared: SharedAnswer, reader: BroadcastReader, convert: Convert | None = None
) -> web.StreamResponse:
    """Sends the answer as one JSON body. `convert`: set if the shared answer is a stream."""
    async with JsonAnswer(request, request.app[RUNTIME].config) as answer:
        try:
            with server_of(request).shutdown.during_run:
                body = await shared.read_all(reader)
            body = convert(body, False) if convert is not None else body
        except ProxyError as error:
            if not answer.committed:
                raise
            return await answer.fail(error)
        return await answer.finish(body)
