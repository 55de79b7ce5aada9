"""Middleware around every request: authenticates it, and turns exceptions, ours and aiohttp's, into errors of the
client's API.
"""

from __future__ import annotations

import logging

from aiohttp import web

from ...api.registry import DEFAULT_API
from ...core.errors import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ProxyError,
    without_trace,
)
from ..context import CONTEXT, Handler, server_of
from ..observability.outcomes import reason_of
from .authorization import authenticate
from .client_api import api_of, find_api_below, find_api_by_headers
from .headers import asks_as_browser, begin_context, preflight

log = logging.getLogger(__name__)

MAX_PATH = 200
"""Characters of a path in an error message or a log line."""


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers errors with a response, if none has started; a started stream sends its own failures.

    Any other failure after the response has started aborts the connection: the client would take an error response for
    the answer to its next request.
    """
    context = begin_context(request)
    server = context.server = server_of(request)
    api = server.endpoints.get(request.path) or find_api_below(request) or find_api_by_headers(request)
    context.api = api or DEFAULT_API
    try:
        with server.shutdown.before_run:
            await authenticate(request, context)
            return await handler(request)
    except Exception as error:
        if request.writer.output_size:
            log.exception(
                "%s: %s %s failed after the response had started",
                *(context.request_id, request.method, _short_path(request)),
            )
            raise ConnectionResetError("the response has started") from error
        response = _answer_to(error, request)
        without_trace(error)
        return response


def _answer_to(error: Exception, request: web.Request) -> web.Response:
    """Re-raises exceptions that must not become an error body (redirects, lost connections)."""
    if isinstance(error, ProxyError):
        context = request[CONTEXT]
        if error.status >= 500 and not context.is_run:  # a run has a log line of its own
            log.warning("%s: %s", context.request_id, " ".join(filter(None, (error.code, reason_of(error)))))
        return error_response(request, redact_tokens(error, request))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        if request.method == "OPTIONS":
            return preflight(request, [*allowed, "OPTIONS"])
        return error_response(request, MethodNotAllowed(allowed))
    if isinstance(error, web.HTTPException) and error.status >= 400:
        if asks_as_browser(request):
            return preflight(request, ["OPTIONS"])  # so that the page can read the error of its call
        return error_response(request, _translate(error, request))
    if isinstance(error, web.HTTPException | ConnectionResetError):
        raise error
    log.error("%s: %s %s failed", request[CONTEXT].request_id, request.method, _short_path(request), exc_info=error)
    return error_response(request, InternalError())


def _short_path(request: web.Request) -> str:
    """The path, shortened because the client chooses it."""
    return request.path[:MAX_PATH]


def redact_tokens(error: ProxyError, request: web.Request) -> ProxyError:
    """Removes our upstream token from a message that may quote the gateway."""
    for token in server_of(request).upstream_tokens:
        error.message = error.message.replace(token, "[redacted]")
    return error


def error_response(request: web.BaseRequest, error: ProxyError) -> web.Response:
    """The error in the format of the client's API."""
    context = request.get(CONTEXT) or begin_context(request)
    answer = api_of(request).encode_error(error, context.request_id)
    response = web.Response(
        status=answer.status, body=answer.body, content_type="application/json", headers=answer.headers
    )
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    return response


def _translate(error: web.HTTPException, request: web.Request) -> ProxyError:
    """Maps an HTTP exception of aiohttp to a ProxyError."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge("The request body is larger than this server takes.")
    if isinstance(error, web.HTTPNotFound):
        return _unknown_url(request)
    return InvalidRequest(error.reason)


def _unknown_url(request: web.Request) -> NotFound:
    where = f"{request.method} {_short_path(request)}"
    server = server_of(request)
    prefixes = server.prefixes
    paths = [prefix + path for prefix in prefixes for path in (*(api.path for api in server.apis), "/models")]
    served = f"This server has {', '.join(paths[:-1])} and {paths[-1]}."
    if any(request.path.startswith(prefix + "/") for prefix in prefixes):
        return NotFound(f"Invalid URL ({where}). {served}")
    return NotFound(f"Unknown request URL: {where}. Please check the URL for typos. {served}", code="unknown_url")
