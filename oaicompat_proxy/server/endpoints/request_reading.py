"""Reads and parses the request for a run, unless it was read already to find its user or to recognise a retry."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ClientApi
from ...core.request import AgentRequest, RequestLimits
from ..context import RequestContext
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..http.body import read_body
from ..runtime import GatewayRuntime
from .changed_entry import hold_entry
from .run_opening import record_request


async def read_request(
    request: web.Request, context: RequestContext, api: ClientApi, runtime: GatewayRuntime, limits: RequestLimits
) -> AgentRequest:
    """Raises what `read_body` and the parser raise."""
    parsed, context.parsed = context.parsed, None
    if parsed is None:
        body = context.take_body()
        if body is None:
            body = await read_body(request, timeout=runtime.config.body_timeout)
        record_request(context.report, body)
        parsed = api.read(body, limits)
        del body
        if parsed.size > LARGE_REQUEST:
            await yield_control()
    else:
        record_request(context.report, context.body if isinstance(context.body, bytes) else parsed)
        context.body = None
    context.report.on_body(parsed.size)
    if names := api.find_references(parsed):
        if changed := api.find_changed(parsed):
            context.entry = await hold_entry(runtime, context.caller, changed, parsed.size)
        stored = await runtime.stored_answers.find(context.caller.scope, names, max_bytes=limits.text)
        parsed = api.expand(parsed, stored)
        if parsed.size > LARGE_REQUEST:
            await yield_control()
    asked = api.build_request(parsed, limits)
    if parsed.size > LARGE_REQUEST:
        await yield_control()
    return asked
