"""A recording for one client: as it was answered to the first, and live as long as the run goes on."""

from __future__ import annotations

import logging

from aiohttp import web

from ...core.errors import ProxyError
from ..answering.event_stream import AnswerStream, ClientGone
from ..answering.json_response import JsonAnswer
from ..context import CONTEXT, server_of
from ..runtime import RUNTIME
from .broadcast import Reader
from .shared_answer import Recording

log = logging.getLogger(__name__)


async def play(request: web.Request, recording: Recording, reader: Reader) -> web.StreamResponse:
    """Raises ProxyError as long as nothing was sent."""
    server_of(request).shutdown.exclude()  # only the run knows whether it had begun when the process ends
    if await recording.is_stream():
        return await _play_stream(request, recording, reader)
    return await _play_whole(request, recording, reader)


async def _play_stream(request: web.Request, recording: Recording, reader: Reader) -> web.StreamResponse:
    """Each client has its own pings; all else is the same, byte by byte."""
    runtime, during_run = request.app[RUNTIME], server_of(request).shutdown.during_run

    with during_run:
        data = await recording.read_first(reader)
    async with AnswerStream(request, runtime.config, runtime.first_events, _Delivery(recording, reader)) as answer:
        try:
            with during_run:
                while not reader.at_end:
                    await answer.write(data)
                    data = await recording.read(reader)
            await answer.end(data)
        except ClientGone:
            log.info("%s: the client left before the end of its answer", request[CONTEXT].request_id)
        except ProxyError as error:
            await answer.fail(error)
    return answer.response


class _Delivery:
    """What one reader's stream is given beside the recording."""

    def __init__(self, recording: Recording, reader: Reader) -> None:
        self._recording = recording
        self._reader = reader

    def open(self) -> bytes:
        """The recording has it."""
        return b""

    def ping(self) -> bytes:
        """None for a slow client: it would fit what the run says by now, not what the client was given last."""
        return b"" if self._reader.is_behind else self._recording.ping()

    def fail(self, error: ProxyError) -> bytes:
        """This reader's stream ends before the recording does."""
        encoder = self._recording.encoder
        return encoder.fail(error) if encoder is not None else b""


async def _play_whole(request: web.Request, recording: Recording, reader: Reader) -> web.StreamResponse:
    async with JsonAnswer(request, request.app[RUNTIME].config) as answer:
        try:
            with server_of(request).shutdown.during_run:
                body = await recording.read(reader)  # one piece: it was written at once
        except ProxyError as error:
            if not answer.committed:
                raise
            return await answer.fail(error)
        return await answer.finish(body)
