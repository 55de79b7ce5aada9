"""Counts the runs of a caller with a budget: admits a run before it begins, and counts its usage afterwards."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...api.protocol import ClientApi
from ...core.request import AgentRequest
from ...translation.confirmations import find_result
from ..context import RequestContext
from ..upstream.catalog import DEFAULT_MODEL


@asynccontextmanager
async def counting(context: RequestContext, api: ClientApi, asked: AgentRequest) -> AsyncIterator[None]:
    """A context around the run: admits it, and ends its charge. Raises BudgetExhausted."""
    report, server = context.report, context.server
    report.on_request(asked.model or DEFAULT_MODEL, stream=asked.stream)
    resumes = find_result(asked.messages, asked.tool_names) is not None
    del asked
    charge, left = await server.budgets.admit(context.caller, estimate=server.config.tokens_estimate, resumes=resumes)
    context.charge = charge
    if left is not None:
        limit, remaining, reset = left
        headers = api.rate_headers(limit=limit, remaining=remaining, reset=reset, now=time.time(), unit="tokens")
        context.rate_headers = {**(context.rate_headers or {}), **headers}
    try:
        yield
    finally:
        server.budgets.end(charge, began=report.has_begun(resumed=resumes), used=report.used_at_least)


async def count_usage(context: RequestContext) -> None:
    """Counts the usage of the complete answer. Called before its last bytes are sent, since a request may follow."""
    report = context.report
    await context.server.budgets.count_usage(context.charge, report.reported_usage, waits=report.waits_for_client)
