"""Clients' connections: how many there are, how much each may hold, and how long it may take.

What the framework refuses before the application sees it is answered as all errors are: what is no HTTP, a header
that is too long, an expectation that cannot be met; and the framework's
last resort when an answer itself fails.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, cast

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import ERROR

from ...config.settings import Config
from ...core.errors import ExpectationFailed, HeadTooLarge, InternalError, ProxyError, RequestTimeout
from .access_log import AccessLog
from .aiohttp_internals import ParsingState
from .error_middleware import error_response
from .headers import add_standard_headers, begin_context
from .overload import Refusal
from .send_progress import SendProgress
from .unreadable_request import LONGEST_HEAD, SPOKEN, fault_of_head, fault_of_message, message_of

log = logging.getLogger(__name__)

UNSENT = 64 * 1024
"""Bytes that the system holds for a client that does not take them. By itself it would hold megabytes, and the
agent would be far ahead of its reader."""

LINGERING = 5.0
"""Seconds in which the rest of a body that nobody wants may still come, so that its sender sees the answer."""


FAULT = web.RequestKey("oaicompat_proxy.fault", ProxyError)
"""Why a request that the framework can read is refused all the same."""


class Connection(ParsingState):
    """One client's connection.

    The head of a request that is still to come in full has a limit to its size and, when nothing else is under way,
    to its time; so has a connection without a request.
    """

    __slots__ = (
        *("_config", "_head_size", "_head_timer", "_is_answered", "_progress", "_quiet_since", "_unwanted"),
        "head",
    )

    def __init__(self, manager: web.Server, config: Config) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log_class=AccessLog,
            keepalive_timeout=config.idle_timeout,
            lingering_time=LINGERING,
            auto_decompress=False,  # who is not let in yet has nothing inflated; `read_body` does it
            max_line_size=config.max_line,
            max_field_size=config.max_line,
            max_headers=config.max_headers,
        )
        self._config = config
        # moving
        self.head = b""
        """What came of a request that is not there in full, or could not be read."""
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_answered = False
        """The last answer is out, and what still comes belongs to the body of its request."""
        self._unwanted = 0
        """Bytes that came behind it."""
        self._quiet_since = self.loop.time()
        self._progress: SendProgress | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._progress = SendProgress(cast(asyncio.WriteTransport, transport), self.loop)
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        self._progress = None
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        if self._progress is not None:
            self._progress.restart()
        super().resume_writing()

    def stalled_for(self) -> float:
        """Seconds for which the client has taken nothing of what waits for it."""
        return self._progress.stalled_for() if self._progress is not None else 0.0

    def abort(self) -> None:
        """Closes at once, also where a close waits for the client to take what was sent before."""
        if self._progress is not None:
            self._progress.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_answered:
            self._drop(data)
            return
        head, self.head = self.head, b""
        super().data_received(data)
        is_idle = self.is_idle
        if is_idle or self.has_parse_error:
            self.head = (head + data)[:LONGEST_HEAD]
        if is_idle:
            self._grow_head(len(data))
            if self._head_timer is None and data:
                self._head_timer = self.loop.call_later(self._config.head_timeout, self._give_up_head)
        elif self.has_read_request:
            self._grow_head(len(data))  # of the next request
        elif self._head_size:
            self._end_head()

    def _drop(self, data: bytes) -> None:
        """It is not even looked at, and there is an end to it."""
        self._unwanted += len(data)
        if self._unwanted > self._config.max_body:
            self.force_close()

    def quiet_for(self) -> float:
        """Seconds since its last answer, or since it was made; 0 while there is something to answer."""
        return self.loop.time() - self._quiet_since if self.is_idle else 0.0

    def _grow_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size <= self._config.max_head:
            return
        if self.is_idle:
            self._refuse_head(HeadTooLarge("The first line and the headers of your request are too large together."))
        else:
            self.close()  # behind the answer that is under way

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self.is_idle:
            limit = self._config.head_timeout
            self._refuse_head(RequestTimeout(f"The headers of your request did not arrive within {limit:g} seconds."))

    def _refuse_head(self, error: ProxyError) -> None:
        self._end_head()
        self.queue_error(error.status, error, error.message)

    def _end_head(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Instead of the framework's plain text. The connection is closed behind it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, there can be no second one")
        context = begin_context(request)
        if status >= 500:
            log.error("%s: the answer failed", context.request_id, exc_info=exc)
        if not isinstance(exc, ProxyError):
            exc = InternalError() if status >= 500 else fault_of_head(self.head, self._config.max_body)
        return refuse(request, exc)

    def log_exception(self, *args: Any, **how: Any) -> None:
        """A body that breaks its own framing has been answered; the framework stumbles over it once more."""
        if isinstance(how.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug("the rest of a body could not be read", **how)
        else:
            super().log_exception(*args, **how)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if resp.status == web.HTTPExpectationFailed.status_code and isinstance(resp, web.HTTPExpectationFailed):
            error = ExpectationFailed("The only expectation that this server meets is 100-continue.")
            resp = error_response(request, error)
        finished = await super().finish_response(request, resp, start_time)
        self._quiet_since = self.loop.time()
        if not request.content.is_eof() and not resp.keep_alive:
            self._is_answered = True
        return finished


def refuse(request: web.BaseRequest, error: ProxyError) -> web.StreamResponse:
    """Before the application has seen the request. The connection is closed behind it."""
    response = error_response(request, error)
    add_standard_headers(request, response)
    response.force_close()
    return response


async def _refuse(request: web.BaseRequest) -> web.StreamResponse:
    return refuse(request, request[FAULT])


class Server(web.Server):
    """Makes the connections, as many as there may be. The application behind them may change between requests."""

    def __init__(self, server: web.Server, config: Config) -> None:
        """`server`: the framework's own for the application."""
        super().__init__(self._handle, request_factory=self._new_request, handler_cancellation=True)
        self._config = config
        # moving
        self._behind = server
        self._refusals: set[Refusal] = set()
        self._open = 0
        """Connections."""
        self._is_full = False

    def replace_app(self, server: web.Server) -> None:
        """Serves requests from the next one on with `server`, the framework's own for an application."""
        self._behind = server

    def _handle(self, request: Any) -> Any:
        return _refuse(request) if FAULT in request else self._behind.request_handler(request)

    def _new_request(self, message: Any, payload: Any, connection: Any, writer: Any, task: Any) -> Any:
        """Whatever came, it is answered in HTTP/1.1, unless it is a request of HTTP/1.0."""
        error = None
        if message is ERROR:
            message = message_of(connection.head)
        else:
            error = fault_of_message(message)
            if error is not None and message.version not in SPOKEN:
                message = message._replace(version=HttpVersion11, should_close=True)
        request = self._behind.request_factory(message, payload, connection, writer, task)
        if error is not None:
            request[FAULT] = error
        return request

    def clients(self) -> list[Connection]:
        return cast(list[Connection], self.connections)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._open += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._open -= 1
        super().connection_lost(handler, exc)

    def __call__(self) -> Any:
        was_full = self._is_full
        self._is_full = self._open >= self._config.max_connections
        if not self._is_full:
            return Connection(self, self._config)
        if not was_full:
            log.warning("there are %d connections; more are refused", self._config.max_connections)
        return Refusal(self._refusals)
