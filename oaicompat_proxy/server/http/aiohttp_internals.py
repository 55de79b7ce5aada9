"""Every private name of aiohttp that this package uses. No other module may use one.

Each is here because aiohttp has no public name for the same thing. The test of this module shows what each
means; setup.cfg bounds aiohttp's version, since another meaning would break limits and time-outs without an error.

Source: aiohttp 3.14, web_protocol.py and web_response.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

_NO_PIECES: deque[bytes] = deque(maxlen=0)
"""Shared by all bodies that have been read. It takes nothing, should anything be appended."""


class _Queue(list[Any]):
    """The requests that wait on a connection, few at most: an empty deque takes 760 bytes, an empty list 56.

    They lose their headers as bytes, which nothing here reads: 150 bytes each, as long as the answer takes.
    """

    __slots__ = ()

    def popleft(self) -> Any:
        message, body = self.pop(0)
        return (message if type(message) is _ErrInfo else message._replace(raw_headers=())), body


class ParsingState(web.RequestHandler):
    """A connection that tells how far aiohttp has parsed and answered what was received on it."""

    __slots__ = ()

    def __init__(self, manager: web.Server, **settings: Any) -> None:
        """Parameters as of `web.RequestHandler`."""
        super().__init__(manager, **settings)
        self._messages = _Queue()  # type: ignore[assignment]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def is_idle(self) -> bool:
        """No request is in the queue or being answered: aiohttp waits for the next one."""
        waiter = self._waiter
        return waiter is not None and not waiter.done()

    @property
    def has_parse_error(self) -> bool:
        """The last entry of the queue stands for bytes that could not be parsed."""
        return bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)

    @property
    def has_read_request(self) -> bool:
        """A request is being answered whose body is complete, and none is in the queue behind it."""
        request = self._current_request
        return request is not None and not self._messages and request.content.is_eof()

    def queue_error(self, status: int, error: BaseException, message: str) -> None:
        """Has `handle_error` answer, as if unreadable bytes had come. Nothing more is parsed. Only if it is idle."""
        assert self._waiter is not None
        self._messages.append((_ErrInfo(status, error, message), EMPTY_PAYLOAD))
        self._waiter.set_result(None)
        self._close = True


class BufferedHead(web.StreamResponse):
    """Sends its head in one packet with the first bytes of its body, as `web.Response` does."""

    _send_headers_immediately = False


def release_buffer(body: StreamReader) -> None:
    """Frees the buffer of a body that is complete and read: a deque of 760 bytes, as long as the answer takes."""
    if body.at_eof():
        body._buffer = _NO_PIECES


def release_unused(request: web.Request) -> None:
    """Frees what properties of the request have computed; they compute it again when they are read.

    Frees the timer of an idle connection, too, which has nothing to do now: aiohttp sets it behind the answer.
    """
    request._cache.clear()
    connection = request.protocol
    if connection._keepalive_handle is not None:
        connection._keepalive_handle.cancel()
        connection._keepalive_handle = None
