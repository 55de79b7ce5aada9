"""`GET …/models` and `GET …/models/NAME`."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from ...core.errors import ModelNotFound
from ...core.model_info import Model
from ..context import CONTEXT, server_of
from ..http.client_api import api_of
from ..runtime import RUNTIME

MAX_QUOTED = 200
"""Characters of a model's name that an error repeats."""


async def list_models(request: web.Request) -> web.Response:
    catalog, caller = request.app[RUNTIME].catalog, request[CONTEXT].caller
    models = [Model(name, catalog.info_of(name, caller)) for name in await catalog.models(caller)]
    body = api_of(request).encode_models(models, request.query, **_about(request))
    return web.Response(body=body, content_type="application/json")


async def retrieve_model(request: web.Request) -> web.Response:
    """The name is the rest of the path, decoded once: clients send a slash raw or escaped."""
    name = request.match_info["name"]
    catalog, caller = request.app[RUNTIME].catalog, request[CONTEXT].caller
    if name not in await catalog.models(caller):
        raise ModelNotFound(f"The model '{name[:MAX_QUOTED]}' does not exist", param="model")
    body = api_of(request).encode_model(Model(name, catalog.info_of(name, caller)), **_about(request))
    return web.Response(body=body, content_type="application/json")


class _About(TypedDict):
    """The fields that all models share."""

    created: int
    owner: str
    endpoints: list[str]


def _about(request: web.Request) -> _About:
    server, config = server_of(request), request.app[RUNTIME].config
    endpoints = [config.prefix + api.path for api in server.apis]
    return {"created": server.started_at, "owner": config.dialect, "endpoints": endpoints}
