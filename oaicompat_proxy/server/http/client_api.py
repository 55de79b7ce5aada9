"""The client API that a request speaks: its path says so, before any of the body is read."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from ...api.protocol import ClientApi
from ...api.registry import APIS, DEFAULT_API
from ..context import CONFIG

CLIENT_APIS: web.AppKey[Mapping[str, ClientApi]] = web.AppKey("oaicompat_proxy.client_apis")
"""The APIs of a gateway, by the path behind its prefix."""

CLIENT_API: web.RequestKey[ClientApi] = web.RequestKey("oaicompat_proxy.client_api")

PATHS = tuple(api.path for api in APIS.values())
"""Of the APIs that every server has, behind the prefix."""


def gateway_of(request: web.Request) -> web.Application:
    """The application of the gateway that the request's path leads to, also for what stands around its handler."""
    return request.match_info.apps[-1]


def find_api(request: web.Request) -> ClientApi | None:
    """None if the path is no endpoint of a client API."""
    gateway = gateway_of(request)
    return gateway.get(CLIENT_APIS, {}).get(request.path.removeprefix(gateway[CONFIG].prefix))


def api_of(request: web.BaseRequest) -> ClientApi:
    """The API in whose words the request is answered; a request that never reached the application has none."""
    api: ClientApi = request.get(CLIENT_API, DEFAULT_API)
    return api
