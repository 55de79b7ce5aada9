"""Finds the client API of a request by its path or headers, before any of the body is read."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ClientApi
from ...api.registry import APIS, DEFAULT_API
from ..context import CONTEXT, server_of

PATHS = tuple(api.path for api in APIS.values())
"""Paths of the built-in APIs, after the prefix."""


def find_api(request: web.Request) -> ClientApi | None:
    """The API whose endpoint is the path; None if there is none."""
    return server_of(request).endpoints.get(request.path)


def find_api_below(request: web.Request) -> ClientApi | None:
    """The API whose endpoint is a prefix of the path, such as `/v1/responses` of `/v1/responses/ID`; else None."""
    endpoints, path = server_of(request).endpoints, request.path
    return next((api for endpoint, api in endpoints.items() if path.startswith(endpoint + "/")), None)


def find_api_by_headers(request: web.Request) -> ClientApi | None:
    """The API whose clients send such headers, for paths that all APIs share; else None."""
    return next((api for api in server_of(request).apis if api.recognizes(request.headers)), None)


def api_of(request: web.BaseRequest) -> ClientApi:
    """The API whose errors the request gets, also if it never reached the application."""
    context = request.get(CONTEXT)
    return context.api if context is not None else DEFAULT_API
