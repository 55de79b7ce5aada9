"""Sets up metrics, run log and traces for the lifetime of the process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector

from ..config.settings import Config, ConfigError
from .access.budgets import Budgets
from .gateway import Gateway
from .observability import multiprocess as shared_metrics
from .observability.gauges import Gauges
from .observability.metrics import Metrics
from .observability.run_log import RunLog
from .observability.run_report import Observer, RunCounts
from .observability.telemetry import Telemetry

if TYPE_CHECKING:
    from .observability.tracing import Tracer


@contextlib.asynccontextmanager
async def observing(config: Config, gateways: Sequence[Gateway], budgets: Budgets) -> AsyncIterator[Telemetry]:
    """Raises ConfigError if traces are on and OpenTelemetry is not installed."""
    registry, runs = CollectorRegistry(), RunCounts()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, functools.partial(_is_model, gateways), provider=config.dialects)
    observers: list[Observer] = [metrics.observe, RunLog(config.log_sample).observe]
    gauges = Gauges(registry, metrics, runs=runs, gateways=gateways, budgets=budgets)
    async with _tracing(config, observers) as tracer, _updating(gauges, metrics):
        yield Telemetry(runs=runs, observers=observers, registry=registry, gauges=gauges, tracer=tracer)


def _is_model(gateways: Sequence[Gateway], model: str, *, answered: bool) -> bool:
    return any(each.runtime.catalog.is_model(model, answered=answered) for each in gateways)


@contextlib.asynccontextmanager
async def _updating(gauges: Gauges, metrics: Metrics) -> AsyncIterator[None]:
    """Updates the gauges continuously if there are several workers: another worker may be the one that is scraped."""
    if not shared_metrics.is_shared():
        yield
        return
    updating = asyncio.create_task(gauges.update_forever(), name="update gauges")
    yield
    updating.cancel()
    await asyncio.wait([updating])
    metrics.flush()


@contextlib.asynccontextmanager
async def _tracing(config: Config, observers: list[Observer]) -> AsyncIterator[Tracer | None]:
    if not config.trace:
        yield None
        return
    try:
        from .observability.tracing import end_trace, make_tracer
    except ImportError:
        raise ConfigError("--trace needs OpenTelemetry: pip install 'oaicompat-proxy[tracing]'") from None
    tracer = make_tracer(config)
    observers.append(end_trace)
    yield tracer
    await tracer.stop()
