"""Who observes the runs of an application: metrics and the log always, traces if they are switched on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from ..config.settings import ConfigError
from .context import CONFIG
from .gateway import Gateway
from .http.reporting import REPORTS, TRACER, tell
from .observability import multiprocess as shared_metrics
from .observability.gauges import CENSUS, REGISTRY, Census
from .observability.metrics import Metrics
from .observability.run_log import RunLog
from .observability.run_report import OBSERVERS, TRAFFIC, Observer
from .scheduling import Batch


@contextlib.asynccontextmanager
async def observing(app: web.Application, gateways: Sequence[Gateway]) -> AsyncIterator[None]:
    """Around everything that runs. Raises ConfigError for traces without OpenTelemetry."""
    registry = app[REGISTRY] = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, functools.partial(_is_model, gateways), provider=app[CONFIG].dialects)
    observers: list[Observer] = [metrics.observe, RunLog(app[CONFIG].log_sample).observe]
    app[OBSERVERS] = observers
    reports = app[REPORTS] = Batch(functools.partial(tell, observers))
    app[CENSUS] = Census(registry, metrics, reports, traffic=app[TRAFFIC], gateways=gateways)
    async with _tracing(app), _counting(app[CENSUS]):
        yield
        reports.flush()
    metrics.settle()


def _is_model(gateways: Sequence[Gateway], model: str, *, answered: bool) -> bool:
    return any(each.runtime.catalog.is_model(model, answered=answered) for each in gateways)


@contextlib.asynccontextmanager
async def _counting(census: Census) -> AsyncIterator[None]:
    """Where another worker may be asked instead of this one, this one counts all the time."""
    if not shared_metrics.is_shared():
        yield
        return
    counting = asyncio.create_task(census.keep_taking(), name="count what is going on")
    yield
    counting.cancel()
    await asyncio.wait([counting])


@contextlib.asynccontextmanager
async def _tracing(app: web.Application) -> AsyncIterator[None]:
    if not app[CONFIG].trace:
        yield
        return
    try:
        from .observability.tracing import end_trace, make_tracer
    except ImportError:
        raise ConfigError("--trace needs OpenTelemetry: pip install 'oaicompat-proxy[tracing]'") from None
    tracer = app[TRACER] = make_tracer(app[CONFIG])
    app[OBSERVERS].append(end_trace)
    yield
    await tracer.stop()
