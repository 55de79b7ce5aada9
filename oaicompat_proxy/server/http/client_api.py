"""The client API of a request, found by its path before any of the body is read."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ClientApi
from ...api.registry import APIS, DEFAULT_API
from ..context import CONTEXT, server_of

PATHS = tuple(api.path for api in APIS.values())
"""Paths of the built-in APIs, after the prefix."""


def find_api(request: web.Request) -> ClientApi | None:
    """None if the path is no endpoint of a client API."""
    return server_of(request).endpoints.get(request.path)


def api_of(request: web.BaseRequest) -> ClientApi:
    """The API in whose words the request is answered, also if it never reached the application."""
    context = request.get(CONTEXT)
    return context.api if context is not None else DEFAULT_API
