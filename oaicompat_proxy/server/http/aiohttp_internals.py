"""Every private name of aiohttp that this package uses. No other module may use one.

Each is here because aiohttp has no public equivalent. The test of this module checks what each means; setup.cfg bounds
aiohttp's version, since a changed meaning would break limits and time-outs without an error.

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
"""The buffer of all bodies that were read; appends to it have no effect."""


class _Queue(list[Any]):
    """The requests that wait on a connection, as a list: an empty deque takes 760 bytes, an empty list 56.

    `popleft` drops the raw headers, which nothing reads: 150 bytes each until the answer ends.
    """

    __slots__ = ()

    def popleft(self) -> Any:
        message, body = self.pop(0)
        return (message if type(message) is _ErrInfo else message._replace(raw_headers=())), body


class ParsingState(web.RequestHandler):
    """A connection, with the state of aiohttp's parser and of its requests."""

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
        """The last entry of the queue is a parse error."""
        return bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)

    @property
    def has_read_request(self) -> bool:
        """A request with a complete body is being answered, and no other request is in the queue."""
        request = self._current_request
        return request is not None and not self._messages and request.content.is_eof()

    def queue_error(self, status: int, error: BaseException, message: str) -> None:
        """Queues an error as a malformed request, which `handle_error` answers. Only if it is idle."""
        assert self._waiter is not None
        self._messages.append((_ErrInfo(status, error, message), EMPTY_PAYLOAD))
        self._waiter.set_result(None)
        self._close = True


class BufferedHead(web.StreamResponse):
    """Sends its head in one packet with the first bytes of its body, as `web.Response` does."""

    _send_headers_immediately = False


def release_buffer(body: StreamReader) -> None:
    """Frees the buffer of a body that was read completely: a deque of 760 bytes."""
    if body.at_eof():
        body._buffer = _NO_PIECES


def release_unused(request: web.Request) -> None:
    """Frees memory that a request does not need during a long answer.

    Its cached properties are computed again when they are read. The keep-alive timer of its connection is set again by
    aiohttp after the answer.
    """
    request._cache.clear()
    connection = request.protocol
    if connection._keepalive_handle is not None:
        connection._keepalive_handle.cancel()
        connection._keepalive_handle = None
