"""Finds the user in a field of the body, or of the query of a request without a body (setting `user_from`).

Only with such a setting are handlers wrapped.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...api.protocol import ClientApi
from ...config.settings import Config
from ...config.types import USER_FIELDS
from ...core.errors import InvalidRequest, ProxyError
from ...core.request import RequestLimits
from ..context import CONTEXT, Handler
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..http.body import limits_of, read_body


def with_user_in_body(handler: Handler, api: ClientApi, config: Config) -> Handler:
    """Wraps a handler: the user is found before anything is looked up for the caller."""
    if not _has_fields(config):
        return handler
    limits = limits_of(config)

    async def find_user(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        if not context.caller.user:
            await _read(request, api, limits, timeout=config.body_timeout)
            users, parsed = context.server.users, context.parsed
            if users is not None and parsed is not None:
                try:
                    context.caller = users.in_fields(context.caller, lambda name: api.user_of(parsed.members, name))
                except InvalidRequest as error:
                    context.body, context.parsed = error, None
        return await handler(request)

    return find_user


def with_user_in_query(handler: Handler, config: Config) -> Handler:
    """Wraps the handler of a route that runs no agent: the user is `?user=NAME`."""
    if not _has_fields(config):
        return handler

    async def find_user(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        if not context.caller.user and context.server.users is not None:
            context.caller = context.server.users.in_fields(context.caller, request.query.get)
        return await handler(request)

    return find_user


def _has_fields(config: Config) -> bool:
    return any(each in USER_FIELDS for each in config.user_from)


async def _read(request: web.Request, api: ClientApi, limits: RequestLimits, *, timeout: float) -> None:
    """Reads and parses the body for the handler, which reports a failure."""
    context = request[CONTEXT]
    try:
        body = context.body = await read_body(request, timeout=timeout)
    except (ProxyError, ConnectionError, asyncio.CancelledError) as error:
        context.body = error
        return
    try:
        context.parsed = api.read(body, limits)
    except InvalidRequest as error:
        context.body = error
        return
    if len(body) > LARGE_REQUEST:
        await yield_control()
