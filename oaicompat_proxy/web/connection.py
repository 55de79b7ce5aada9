"""What the framework refuses before the application sees it, answered as all errors are.

That is what is no HTTP, a header that is too long, a content encoding that cannot be undone, an expectation that
cannot be met; and the framework's last resort when an answer itself fails.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import ExpectationFailed, InternalError, InvalidRequest
from .access_log import AccessLog
from .headers import identify, stamp
from .keys import REQUEST_ID
from .middleware import error_response

log = logging.getLogger(__name__)

UNREADABLE = (
    "We could not read your request: it is not HTTP as this server speaks it, a header is too long, "
    "or the body is compressed in another way than gzip or deflate."
)
"""One text for all faults: the framework's own quotes what was sent, which may hold a key."""


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ()

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
        identify(request)
        if status >= 500:
            log.error("%s: the answer failed", request[REQUEST_ID], exc_info=exc)
        else:
            log.info("%s: what came is no request", request[REQUEST_ID])  # not what: it may hold a key
        response = error_response(InternalError() if status >= 500 else InvalidRequest(UNREADABLE))
        stamp(request, response)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **how: Any) -> None:
        """A body that breaks its own framing has been answered; the framework stumbles over it once more."""
        if isinstance(how.get("exc_info"), web.RequestPayloadError | HttpProcessingError):
            self.log_debug("the rest of a body could not be read", **how)
        else:
            super().log_exception(*args, **how)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = error_response(ExpectationFailed("The only expectation that this server meets is 100-continue."))
        return await super().finish_response(request, resp, start_time)


class Server(web.Server):
    """Makes the connections."""

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), access_log_class=AccessLog)


class Runner(web.AppRunner):
    """Runs the application on these connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
        )
