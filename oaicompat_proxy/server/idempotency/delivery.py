"""Sends a shared answer to one client: the same bytes for each, live while the run goes on."""

from __future__ import annotations

import logging

from aiohttp import web

from ...core.errors import ProxyError
from ..answering.event_stream import AnswerStream, ClientGone
from ..answering.json_response import JsonAnswer
from ..context import CONTEXT, server_of
from ..runtime import RUNTIME
from .broadcast import Reader
from .shared_answer import SharedAnswer

log = logging.getLogger(__name__)


async def deliver(request: web.Request, shared: SharedAnswer, reader: Reader) -> web.StreamResponse:
    """Raises ProxyError as long as nothing was sent."""
    server_of(request).shutdown.exclude()  # on shutdown the run decides, not its readers
    if await shared.is_stream():
        return await _deliver_stream(request, shared, reader)
    return await _deliver_body(request, shared, reader)


async def _deliver_stream(request: web.Request, shared: SharedAnswer, reader: Reader) -> web.StreamResponse:
    """Each client has its own keep-alives; all other bytes are the same."""
    runtime, during_run = request.app[RUNTIME], server_of(request).shutdown.during_run

    with during_run:
        data = await shared.read_first(reader)
    async with AnswerStream(request, runtime.config, _Delivery(shared, reader)) as answer:
        try:
            with during_run:
                while not reader.at_end:
                    await answer.write(data)
                    data = await shared.read(reader)
            await answer.end(data)
        except ClientGone:
            log.info("%s: the client left before the end of its answer", request[CONTEXT].request_id)
        except ProxyError as error:
            await answer.fail(error)
    return answer.response


class _Delivery:
    """The bytes that one reader's stream gets beside the shared ones."""

    def __init__(self, shared: SharedAnswer, reader: Reader) -> None:
        self._shared = shared
        self._reader = reader

    def open(self) -> bytes:
        """The shared answer has its opening."""
        return b""

    def ping(self) -> bytes:
        """No keep-alive for a slow client: it would fit the run's latest bytes, not those that the client has."""
        return b"" if self._reader.is_behind else self._shared.ping()

    def fail(self, error: ProxyError) -> bytes:
        """Ends this reader's stream before the shared answer ends."""
        encoder = self._shared.encoder
        return encoder.fail(error) if encoder is not None else b""


async def _deliver_body(request: web.Request, shared: SharedAnswer, reader: Reader) -> web.StreamResponse:
    async with JsonAnswer(request, request.app[RUNTIME].config) as answer:
        try:
            with server_of(request).shutdown.during_run:
                body = await shared.read(reader)  # a body is written in one piece
        except ProxyError as error:
            if not answer.committed:
                raise
            return await answer.fail(error)
        return await answer.finish(body)
