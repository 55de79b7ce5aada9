"""Reports each run to the observers: metrics, log, traces.

A run is reported once, however many requests with the same `Idempotency-Key` read its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from ...api.protocol import ClientApi
from ...core.errors import ProxyError
from ..context import CONTEXT, Handler, RequestContext
from ..observability.run_report import Observer, RunReport, RunSummary
from ..observability.telemetry import TELEMETRY, Telemetry
from .client_api import find_api

log = logging.getLogger(__name__)

RETRY_COUNT = "x-stainless-retry-count"
"""Sent by the official clients: how often this request was tried before."""


def reported(api: ClientApi, handler: Handler) -> Handler:
    """Wraps the handler: each of its runs is reported."""

    async def report_run(request: web.Request) -> web.StreamResponse:
        telemetry, context = request.app[TELEMETRY], request[CONTEXT]
        report = context.report = _begin(telemetry, request.headers, context, api, context.caller.name)
        if context.caller.user and context.server.users is not None:
            report.user = context.server.users.label(context.caller.user)
        status = 0
        try:
            response = await handler(request)
            status = response.status
            return response
        except (asyncio.CancelledError, ConnectionError):
            report.on_client_gone()
            raise
        except Exception as error:
            report.fail(error, _status_in(api, error))
            raise
        finally:
            report.end(sent=request.writer.output_size, status=status)
            notify(telemetry.observers, report)

    return report_run


def report_rejected(request: web.Request, error: ProxyError) -> None:
    """Counts a request that is rejected before its run."""
    api = find_api(request)
    if api is not None:
        telemetry, context = request.app[TELEMETRY], request[CONTEXT]
        report = context.report = _begin(telemetry, request.headers, context, api)
        report.fail(error, _status_in(api, error))
        report.end(sent=0)
        notify(telemetry.observers, report)


def _status_in(api: ClientApi, error: Exception) -> int:
    """The status that the API gives the error (Anthropic: 529 for an overload); 0 if it is no ProxyError."""
    return api.encode_error(error).status if isinstance(error, ProxyError) else 0


def _begin(
    telemetry: Telemetry, headers: Mapping[str, str], context: RequestContext, api: ClientApi, key_name: str = ""
) -> RunReport:
    report = RunReport(api.operation, telemetry.runs)
    report.api = api.name
    report.request_id = context.request_id
    report.client = context.client
    report.key_name = key_name or "-"
    report.is_retry = headers.get(RETRY_COUNT, "0") != "0"
    if telemetry.tracer is not None:
        telemetry.tracer.begin(report, headers)
    return report


def notify(observers: list[Observer], run: RunSummary) -> None:
    """Calls all observers, also if one of them fails."""
    for observe in observers:
        try:
            observe(run)
        except Exception:
            log.exception("%s: reporting the run failed", run.request_id)
