"""The routes of client APIs that run no agent: they read and change the caller's stored answers.

A route may name an answer whose run goes on: it stops the run, or sends its events.
"""

from __future__ import annotations

import time

from aiohttp import web

from ...api.protocol import ApiRoute, ClientApi, RouteAnswer, RouteRequest
from ...core.errors import EntryBusy
from ..answer_stores.stored_answers import StoredAnswers
from ..context import CONTEXT, Handler
from ..http.body import read_body
from ..idempotency.kept_answers import KeptAnswers
from ..random_ids import new_id
from ..runtime import RUNTIME
from .changed_entry import ATTEMPTS, replace_all


def new_route_handler(route: ApiRoute, api: ClientApi, kept: KeptAnswers) -> Handler:
    """The handler of one route; it raises ProxyError."""

    async def answer(request: web.Request) -> web.StreamResponse:
        runtime, scope = request.app[RUNTIME], request[CONTEXT].caller.scope
        body = await read_body(request, timeout=runtime.config.body_timeout) if request.can_read_body else b""
        config, answers = runtime.config, runtime.stored_answers
        asked = RouteRequest(request.match_info, request.query, body, config.max_values, new_id(), int(time.time()))
        if route.find_run is not None:
            await kept.update_record(api, scope, route.find_run(asked), stops=route.stops)
        answered = await _answer(route, asked, answers, scope, max_bytes=config.max_text)
        if answered.model is not None:
            await runtime.catalog.check_exists(answered.model, request[CONTEXT].caller)
        if answered.added:
            await answers.add(scope, answered.added)
        if answered.deleted:
            await answers.delete(scope, answered.deleted)
            await kept.delete_events(scope, answered.deleted)
        if answered.stream_from is not None and route.find_run is not None:
            return await kept.follow(request, api, route.find_run(asked), answered.body, answered.stream_from)
        return web.Response(body=answered.body, content_type="application/json", headers=answered.headers)

    return answer


async def _answer(
    route: ApiRoute, asked: RouteRequest, answers: StoredAnswers, scope: str, *, max_bytes: int
) -> RouteAnswer:
    """Answers from stored entries, and writes those that the route changes. `most`: bytes read. Raises ProxyError."""
    names = route.find_names(asked)
    for _ in range(ATTEMPTS):
        stored = await answers.find(scope, names, max_bytes=max_bytes) if names else {}
        answered = route.answer(asked, stored)
        if await replace_all(answers, scope, stored, answered.replaced):
            return answered
    raise EntryBusy("Other requests keep changing the same stored entry; send the request again.")
