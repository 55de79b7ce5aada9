"""Follows each run, and hands its report to whoever observes: metrics, log, traces.

A run is reported once, however many requests with the same `Idempotency-Key` read its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from ...core.errors import ProxyError
from ..context import CALLER, CLIENT, REQUEST_ID
from ..observability.run_report import REPORT, TRAFFIC, Observer, RunReport
from ..scheduling import Batch
from .client_api import find_api
from .error_middleware import Handler

log = logging.getLogger(__name__)

RETRY_COUNT = "x-stainless-retry-count"
"""How often the official clients have sent this request before."""


def reported(operation: str, handler: Handler) -> Handler:
    """The same, and each of its runs is reported."""

    async def report_run(request: web.Request) -> web.StreamResponse:
        app = request.app
        report = request[REPORT] = _begin(app, request, operation, request[CALLER].name)
        status = 0
        try:
            response = await handler(request)
            status = response.status
            return response
        except (asyncio.CancelledError, ConnectionError):
            report.note_client_gone()
            raise
        except Exception as error:
            report.fail(error)
            raise
        finally:
            report.end(sent=request.writer.output_size, status=status)
            app[REPORTS].add(report)

    return report_run


def report_refusal(request: web.Request, error: ProxyError) -> None:
    """Who is refused before anything is run has no run, but is counted as one that was refused."""
    api = find_api(request)
    if api is not None:
        report = request[REPORT] = _begin(request.app, request, api.operation)
        report.fail(error)
        report.end(sent=0)
        request.app[REPORTS].add(report)


def _begin(app: web.Application, request: web.Request, operation: str, key_name: str = "") -> RunReport:
    headers = request.headers
    report = RunReport(operation, app[TRAFFIC])
    report.request_id = request[REQUEST_ID]
    report.client = request[CLIENT]
    report.key_name = key_name or "-"
    report.is_retry = headers.get(RETRY_COUNT, "0") != "0"
    tracer = app.get(TRACER)
    if tracer is not None:
        tracer.begin(report, headers)
    return report


def tell(observers: Sequence[Observer], reports: Sequence[RunReport]) -> None:
    """An observer's fault is no reason for others not to be told."""
    for observe in observers:
        for report in reports:
            try:
                observe(report)
            except Exception:
                log.exception("%s: a run could not be reported", report.request_id)


REPORTS: web.AppKey[Batch[RunReport]] = web.AppKey("oaicompat_proxy.reports")
"""Of runs that are over since a moment ago: on their way to those."""


if TYPE_CHECKING:
    from ..observability.tracing import Tracer

TRACER: web.AppKey[Tracer] = web.AppKey("oaicompat_proxy.tracer")
"""Only there if runs are traced."""
