"""Reads from a request, before its run begins, its name (what makes it equal to a retry) and how its answer is kept."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from ...api.protocol import ClientApi, Keeping
from ...config.settings import Config
from ...core.errors import InvalidRequest, ProxyError
from ..context import CONTEXT, RequestContext
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..http.body import limits_of, read_body
from ..runtime import RUNTIME
from .cache import fingerprint
from .delivery import ANY_FORM, Form

RETRY_GRACE = 8.0
"""Seconds at most that a run without an `Idempotency-Key` continues without a reader. Whether the client will
repeat the request is unknown: Codex repeats it within 4 s, but not after a person has stopped the turn.
"""


class RequestName(NamedTuple):
    """Requests with the same `key` and `digest` share one run.

    `optional`: the client has not asked for idempotency, so the request may run without it. `failures_only`: an equal
    request counts as a retry only right after a failure; with `failed_streams` also right after one in mid-stream.
    """

    key: str
    digest: bytes
    grace: float
    optional: bool = True
    failures_only: bool = False
    failed_streams: bool = False
    form: Form = ANY_FORM


async def name_by_key(request: web.Request, key: str) -> RequestName:
    """The name by the client's `Idempotency-Key`. Raises what `read_body` raises."""
    context, config = request[CONTEXT], request.app[RUNTIME].config
    body = await _read_once(request, context, config)
    return RequestName(key, _fingerprint(request, body), config.idempotency_grace, optional=False)


async def name_by_body(request: web.Request, api: ClientApi) -> RequestName | None:
    """The name by the body, if the API finds one; None also if the body cannot be read, which the handler reports."""
    context, config = request[CONTEXT], request.app[RUNTIME].config
    try:
        body = await _read_once(request, context, config)
    except (ProxyError, ConnectionError, asyncio.CancelledError) as error:
        context.body = error
        return None
    if api.retries is None:
        return None
    if len(body) > LARGE_REQUEST:
        await yield_control()
    retry_key = api.retries.read_key(body, request.headers, config.max_values)
    if len(body) > LARGE_REQUEST:
        await yield_control()
    if retry_key is None:
        return None
    digest = _fingerprint(request, retry_key.content)
    return RequestName(
        f"retries of {digest.hex()}",  # no Idempotency-Key has spaces
        digest,
        min(config.idempotency_grace, RETRY_GRACE),
        failures_only=retry_key.failures_only,
        failed_streams=retry_key.failed_streams,
        form=Form(retry_key.stream, api.retries.convert),
    )


async def read_keeping(request: web.Request, api: ClientApi) -> Keeping:
    """How the answer is kept. Parses the request for the handler, which reports a failure."""
    context, config = request[CONTEXT], request.app[RUNTIME].config
    body = context.body
    if not api.keeps_answers or not isinstance(body, bytes):
        return Keeping()
    try:
        parsed = context.parsed = context.parsed or api.read(body, limits_of(config))
    except InvalidRequest as error:
        context.body = error
        return Keeping()
    context.body = None
    if parsed.size > LARGE_REQUEST:
        await yield_control()
    return api.keeping_of(parsed, config)


async def _read_once(request: web.Request, context: RequestContext, config: Config) -> bytes:
    """The body, which is stored in the context. Raises what `read_body` raises."""
    body = context.body
    if body is None:
        body = context.body = await read_body(request, timeout=config.body_timeout)
    if isinstance(body, BaseException):
        raise body
    return body


def _fingerprint(request: web.Request, content: bytes) -> bytes:
    """Equal for requests with the same address, session and content."""
    session = request.headers.get("X-Session-Id", "")
    return fingerprint([request.path.encode(), session.encode("utf-8", "surrogateescape"), content])
