"""Records runs (setting `record`). The recorder wraps the handlers, so it costs nothing when it is off."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from ...config.settings import Config, ConfigError
from ...core.caller import owner_mark
from ...core.errors import ProxyError
from ..context import CONTEXT, Handler
from ..http.client_api import api_of
from ..http.error_middleware import redact_tokens
from .directory import open_directory
from .writer import RecordingWriter


class Recorder:
    """Gives every request a RecordingWriter. Raises ConfigError if the directory cannot be used."""

    def __init__(self, config: Config) -> None:
        self._masked = not config.record_raw
        self._secret = config.upstream_token.encode()
        self._max_bytes = config.record_max
        try:
            self._directory = open_directory(Path(config.record), total=config.record_total)
        except OSError as error:
            raise ConfigError(f"--record cannot use {config.record}: {error.strerror}") from None

    def wrap(self, handler: Handler) -> Handler:
        async def record(request: web.Request) -> web.StreamResponse:
            api = api_of(request)
            context = request[CONTEXT]
            context.report.recording = writer = RecordingWriter(
                self._directory,
                api,
                max_bytes=self._max_bytes,
                masked=self._masked,
                secret=self._secret,
                request_id=context.request_id,
                owner=owner_mark(context.caller.scope),
                began=context.received,
            )
            outcome = "failed"
            try:
                response = await handler(request)
                outcome = "answered"
                return response
            except ProxyError as error:
                answer = api.encode_error(redact_tokens(error, request), context.request_id)
                writer.body(answer.status, answer.body)
                raise
            except (asyncio.CancelledError, ConnectionResetError):
                outcome = "the client left"
                raise
            finally:
                writer.end(outcome)

        return record
