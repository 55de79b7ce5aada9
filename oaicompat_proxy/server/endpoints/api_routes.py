"""The routes of client APIs that run no agent: each is answered from what is stored of its caller's answers."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ApiRoute, RouteRequest
from ..context import CONTEXT, Handler
from ..http.body import read_body
from ..runtime import RUNTIME


def new_route_handler(route: ApiRoute) -> Handler:
    """The handler of one route; it raises ProxyError."""

    async def answer(request: web.Request) -> web.Response:
        runtime, scope = request.app[RUNTIME], request[CONTEXT].caller.scope
        body = await read_body(request, timeout=runtime.config.body_timeout) if request.can_read_body else b""
        asked = RouteRequest(request.match_info, request.query, body)
        names, answers = route.find_names(asked), runtime.stored_answers
        stored = await answers.find(scope, names, most=runtime.config.max_text) if names else {}
        answered = route.answer(asked, stored)
        if answered.deleted:
            await answers.delete(scope, answered.deleted)
        return web.Response(body=answered.body, content_type="application/json", headers=answered.headers)

    return answer
