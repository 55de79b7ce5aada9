"""The routes of client APIs that run no agent: each is answered from what is stored of its caller's answers.

A route may be about an answer that is still made: its run is stopped, or its events are sent.
"""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ApiRoute, ClientApi, RouteRequest
from ..context import CONTEXT, Handler
from ..http.body import read_body
from ..idempotency.kept_answers import KeptAnswers
from ..runtime import RUNTIME


def new_route_handler(route: ApiRoute, api: ClientApi, kept: KeptAnswers) -> Handler:
    """The handler of one route; it raises ProxyError."""

    async def answer(request: web.Request) -> web.StreamResponse:
        runtime, scope = request.app[RUNTIME], request[CONTEXT].caller.scope
        body = await read_body(request, timeout=runtime.config.body_timeout) if request.can_read_body else b""
        asked = RouteRequest(request.match_info, request.query, body)
        names, answers = route.find_names(asked), runtime.stored_answers
        if route.find_run is not None:
            await kept.settle(api, scope, route.find_run(asked), stops=route.stops)
        stored = await answers.find(scope, names, most=runtime.config.max_text) if names else {}
        answered = route.answer(asked, stored)
        if answered.added:
            await answers.add(scope, answered.added)
        if answered.deleted:
            await answers.delete(scope, answered.deleted)
        if answered.stream_from is not None and route.find_run is not None:
            return await kept.follow(request, api, route.find_run(asked), answered.body, answered.stream_from)
        return web.Response(body=answered.body, content_type="application/json", headers=answered.headers)

    return answer
