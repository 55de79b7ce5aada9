"""The client's side of one whole answer, kept open while the agent works if the operator wants that.

JSON may have white space in front, so line ends can keep a connection warm before the answer is known. The
price is that status 200 is out by then: a failure after it breaks the body off, so that no client takes the
error for an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from aiohttp import HttpVersion11, web

from ...config.settings import Config
from ...core.errors import ProxyError
from ..http.client_api import api_of
from ..http.send_progress import drop
from .event_stream import surely_takes

JSON = "application/json"


class JsonAnswer:
    """A context for one answer; `finish` or `fail` ends it."""

    def __init__(self, request: web.Request, config: Config) -> None:
        self._request = request
        self._keep_alive = config.json_keep_alive
        self._send_timeout = config.send_timeout
        # moving
        self._response: web.StreamResponse | None = None
        self.client_gone = False
        """The client has left, or takes nothing any more, so it has not got all of the answer."""
        self._warming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._keep_alive:
            self._warming = asyncio.create_task(self._warm(), name="keep a JSON answer warm")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cool()

    @property
    def committed(self) -> bool:
        return self._response is not None

    async def finish(self, body: bytes) -> web.StreamResponse:
        """The whole answer; a client that takes nothing of it for too long is dropped."""
        await self._cool()
        response = self._response or web.Response(body=body, content_type=JSON)
        sending = self._send(response, body)
        try:
            if surely_takes(self._request.transport, len(body)):
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

    async def _send(self, response: web.StreamResponse, body: bytes) -> None:
        await response.prepare(self._request)
        await response.write_eof(b"" if self._response is None else body)

    async def fail(self, error: ProxyError) -> web.StreamResponse:
        """Says what went wrong and breaks the body off. Only after status 200 is out."""
        await self._cool()
        assert self._response is not None
        if self._knows_chunks:  # to others the close is the end of the body, and what was said the answer
            with contextlib.suppress(ConnectionError):
                await self._response.write(api_of(self._request).encode_error(error).body)
        if self._request.transport is not None:
            self._request.transport.close()
        return self._response

    async def _warm(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(self._keep_alive)
                if self._response is None:
                    self._response = self._new_response()
                    await self._response.prepare(self._request)
                await self._response.write(b"\n")

    def _new_response(self) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if not self._knows_chunks:
            # only the close ends the body, and aiohttp would keep the connection if asked
            response.headers["Connection"] = "close"
            response.force_close()
        return response

    @property
    def _knows_chunks(self) -> bool:
        return self._request.version >= HttpVersion11

    async def _cool(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
            self._warming = None
