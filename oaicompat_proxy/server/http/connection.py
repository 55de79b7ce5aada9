"""Connections of clients: their number, and the limits of size and time of each.

Errors that aiohttp finds before the application sees the request get the same error bodies as all others.
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
from ..event_loop.turn_budget import KEPT_UNPAUSED, turn_budget
from .access_log import AccessLog
from .aiohttp_internals import ParsingState
from .error_middleware import error_response
from .headers import add_standard_headers, begin_context
from .overload import OverloadResponse
from .send_progress import SendProgress
from .unreadable_request import MAX_KEPT_HEAD, SUPPORTED_VERSIONS, error_of_head, error_of_message, message_of

log = logging.getLogger(__name__)

MAX_UNSENT = 64 * 1024
"""Unsent bytes in the kernel's send buffer. By default the kernel buffers megabytes, and the agent would run far ahead
of a slow client."""

LINGER_SECONDS = 5.0
"""Seconds for which the rest of an unread body is received and dropped, so that its sender can read the response."""


class Connection(ParsingState):
    """One client's connection.

    An incomplete request head has a limit of size and, if no other request is being handled, of time. An idle
    connection has a limit of time.
    """

    __slots__ = (
        *("_budget", "_config", "_deferred", "_dropped_bytes", "_head_size", "_head_timer"),
        *("_is_over", "_progress", "_quiet_since"),
        *("had_request", "head"),
    )

    def __init__(self, manager: web.Server, config: Config) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log_class=AccessLog,
            keepalive_timeout=config.idle_timeout,
            lingering_time=LINGER_SECONDS,
            max_line_size=config.max_line,
            max_field_size=config.max_line,
            max_headers=config.max_headers,
        )
        self._config = config
        self._budget = turn_budget()
        # state
        self._deferred = b""
        """The read of a request that waits for the budget of another turn; the socket is not read meanwhile."""
        self.head = b""
        """The first bytes of an incomplete or malformed request."""
        self.had_request = False
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_over = False
        """No further request is read: one was malformed, or the last response is sent before the end of its body."""
        self._dropped_bytes = 0
        """Bytes received after that."""
        self._quiet_since = self.loop.time()
        self._progress: SendProgress | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._progress = SendProgress(cast(asyncio.WriteTransport, transport), self.loop)
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        self._progress = None
        self._deferred = b""
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        if self._progress is not None:
            self._progress.restart()
        super().resume_writing()

    def stalled_for(self) -> float:
        """Seconds for which the client has read none of the bytes in the send buffer."""
        return self._progress.stalled_for() if self._progress is not None else 0.0

    def abort(self) -> None:
        """Closes immediately, without waiting for the client to read what was sent."""
        if self._progress is not None:
            self._progress.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._drop(data)
            return
        if not data:  # aiohttp parses bytes that it received before
            super().data_received(data)
            return
        budget, was_idle = self._budget, self.is_idle
        if self._deferred or (budget.left <= 0 and was_idle and not budget.extend()):
            self._defer(data)
            return
        head, self.head = self.head, b""
        had_read_request = self.has_read_request
        super().data_received(data)
        is_idle, self._is_over = self.is_idle, self.has_parse_error
        budget.left -= len(data)
        if was_idle and not is_idle:
            if self.had_request:
                budget.expect_step()
            else:
                self.had_request = True
                budget.expect_first_request()
        if is_idle or self._is_over:
            self.head = (head + data)[:MAX_KEPT_HEAD]
        if is_idle:
            self._quiet_since = self.loop.time()
            self._grow_head(len(data))
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self._config.head_timeout, self._give_up_head)
        elif had_read_request and self.has_read_request:
            self._grow_head(len(data))  # bytes of the next request: the body of this one is complete
        elif self._head_size:
            self._end_head()

    def _defer(self, data: bytes) -> None:
        """Keeps the read for another turn. TLS may bring more although the socket is paused."""
        if not self._deferred:
            self._budget.defer(self._receive_deferred)
        self._deferred += data
        if len(self._deferred) > KEPT_UNPAUSED and self.transport is not None:
            self.transport.pause_reading()

    def _receive_deferred(self) -> None:
        data, self._deferred = self._deferred, b""
        if data and self.transport is not None:
            self.transport.resume_reading()
            self.data_received(data)

    def _drop(self, data: bytes) -> None:
        """Discards data, up to `max_body` bytes; then the connection is closed."""
        self._dropped_bytes += len(data)
        if self._dropped_bytes > self._config.max_body:
            self.force_close()

    def quiet_for(self) -> float:
        """Seconds since its last response or the last bytes of an incomplete head; 0 while a request is handled."""
        return self.loop.time() - self._quiet_since if self.is_idle and not self._deferred else 0.0

    def _grow_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size <= self._config.max_head:
            return
        if self.is_idle:
            self._refuse_head(HeadTooLarge("The first line and the headers of your request are too large together."))
        else:
            self.close()  # after the current response

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
        """Answers with an error body of the API, in place of aiohttp's plain text, and closes the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has started already")
        context = begin_context(request)
        if status >= 500:
            log.error("%s: the response failed", context.request_id, exc_info=exc)
        if not isinstance(exc, ProxyError):
            exc = InternalError() if status >= 500 else error_of_head(self.head, self._config.max_body)
        return reject(request, exc)

    def log_exception(self, *args: Any, **how: Any) -> None:
        """Skips malformed bodies, which were answered already; aiohttp reports them once more."""
        if isinstance(how.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug("malformed rest of a request body", **how)
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
            self._is_over = True
        return finished


def reject(request: web.BaseRequest, error: ProxyError) -> web.StreamResponse:
    """Answers a request that does not reach the application, and closes the connection."""
    response = error_response(request, error)
    add_standard_headers(request, response)
    response.force_close()
    return response


class RejectedRequest(web.BaseRequest):
    """A request that aiohttp can parse and this server does not serve."""

    rejection: ProxyError


async def _reject(request: RejectedRequest) -> web.StreamResponse:
    return reject(request, request.rejection)


class Server(web.Server):
    """Accepts connections up to a limit. The application behind them may be replaced between requests.

    A client that disconnects cancels the handler of its request. A write to such a client raises ClientGone, see
    `answering/event_stream.py`.
    """

    def __init__(self, server: web.Server, config: Config, most_connections: int) -> None:
        """`server`: aiohttp's server of the application."""
        super().__init__(self._handle, request_factory=self._new_request, handler_cancellation=True)
        self._config = config
        self._most = most_connections
        # state
        self._app_server = server
        self._overload_responses: set[OverloadResponse] = set()
        self._open = 0
        """Number of open connections."""
        self._at_limit = False

    def replace_app(self, server: web.Server) -> None:
        """Serves new requests with `server`, aiohttp's server of another application."""
        self._app_server = server

    def _handle(self, request: Any) -> Any:
        return _reject(request) if type(request) is RejectedRequest else self._app_server.request_handler(request)

    def _new_request(self, message: Any, payload: Any, connection: Any, writer: Any, task: Any) -> Any:
        """Makes the request object; a malformed request gets a placeholder and a response in HTTP/1.1."""
        if message is ERROR:
            message = message_of(connection.head)
        elif (error := error_of_message(message)) is not None:
            if message.version not in SUPPORTED_VERSIONS:
                message = message._replace(version=HttpVersion11, should_close=True)
            request = RejectedRequest(message, payload, connection, writer, task, connection.loop)
            request.rejection = error
            return request
        return self._app_server.request_factory(message, payload, connection, writer, task)

    def clients(self) -> list[Connection]:
        return cast(list[Connection], self.connections)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._open += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._open -= 1
        super().connection_lost(handler, exc)

    def __call__(self) -> Any:
        was_at_limit = self._at_limit
        self._at_limit = self._open >= self._most
        if not self._at_limit:
            return Connection(self, self._config)
        if not was_at_limit:
            log.warning("%d connections, the limit: rejecting more with 503", self._most)
        return OverloadResponse(self._overload_responses)
