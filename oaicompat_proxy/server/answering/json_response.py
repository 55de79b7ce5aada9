"""Sends an answer as one JSON body, after keep-alives if `--json-keep-alive` is set or the API needs them.

JSON allows white space before a value, so line feeds keep the connection alive until the answer is complete. Status 200
is sent before them: after a later failure the body is incomplete, so that no client takes the error for an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict, istr

from ...config.settings import Config
from ...core.errors import ProxyError
from ..context import CONTEXT
from ..http.aiohttp_internals import OnePacket
from ..http.client_api import api_of
from ..http.send_progress import drop
from .event_stream import fits_buffer

JSON = "application/json"

HEADERS = CIMultiDict({istr("Content-Type"): JSON, istr("Content-Length"): "", istr("Date"): "", istr("Server"): ""})
"""In the order in which aiohttp sends them. The values of the last three are set for each response."""


class JsonAnswer:
    """A context for one answer; `finish` or `fail` ends it."""

    def __init__(self, request: web.Request, config: Config) -> None:
        self._request = request
        self._keep_alive = _keep_alive(request, config)
        self._send_timeout = config.send_timeout
        # state
        self._response: web.StreamResponse | None = None
        self.client_gone = False
        """The client disconnected, or read nothing for `send_timeout`, before it had the whole answer."""
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alives: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._keep_alive < math.inf:
            self._timer = asyncio.get_running_loop().call_later(self._keep_alive, self._start_keep_alives)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_keep_alives()

    @property
    def committed(self) -> bool:
        return self._response is not None

    async def finish(self, body: bytes) -> web.StreamResponse:
        """Sends the answer. A client that does not read for `send_timeout` is disconnected."""
        await self._stop_keep_alives()
        response, sending = self._begin_sending(body)
        try:
            if fits_buffer(self._request.transport, len(body)):
                await sending
            else:
                async with asyncio.timeout(self._send_timeout):
                    await sending
        except ConnectionError:
            self.client_gone = True
        except TimeoutError:
            self.client_gone = True
            drop(self._request.transport)
        return response

    def _begin_sending(self, body: bytes) -> tuple[web.StreamResponse, Coroutine[Any, Any, None]]:
        if self._response is not None:
            return self._response, self._send(self._response, body)
        if self._has_chunks:
            one_packet = OnePacket(headers=HEADERS)
            return one_packet, one_packet.send_body(self._request, body)
        response = web.Response(body=body, content_type=JSON)
        return response, self._send(response, b"")

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        await response.prepare(self._request)
        await response.write_eof(data)

    async def fail(self, error: ProxyError) -> web.StreamResponse:
        """Sends the error and closes without the end of the body. Only after status 200 is sent."""
        await self._stop_keep_alives()
        assert self._response is not None
        if self._has_chunks:  # HTTP/1.0: the close is a normal end of the body
            with contextlib.suppress(ConnectionError):
                await self._response.write(
                    api_of(self._request).encode_error(error, self._request[CONTEXT].request_id).body
                )
        if self._request.transport is not None:
            self._request.transport.close()
        return self._response

    def _start_keep_alives(self) -> None:
        self._keep_alives = asyncio.create_task(self._send_keep_alives(), name="send JSON keep-alives")

    async def _send_keep_alives(self) -> None:
        with contextlib.suppress(ConnectionError):
            response = self._response = self._new_response()
            await response.prepare(self._request)
            while True:
                await response.write(b"\n")
                await asyncio.sleep(self._keep_alive)

    def _new_response(self) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if not self._has_chunks:
            # the close ends the body, so the connection must not be kept
            response.headers["Connection"] = "close"
            response.force_close()
        return response

    @property
    def _has_chunks(self) -> bool:
        return self._request.version >= HttpVersion11

    async def _stop_keep_alives(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._keep_alives is not None:
            self._keep_alives.cancel()
            await asyncio.wait([self._keep_alives])
            self._keep_alives = None


def _keep_alive(request: web.Request, config: Config) -> float:
    """Seconds between two keep-alives; infinite for none."""
    retries = api_of(request).retries
    return min(config.json_keep_alive or math.inf, retries.max_silence if retries is not None else math.inf)
