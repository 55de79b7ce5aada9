"""Sets up metrics, run log and traces for the lifetime of the process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector

from ..config.settings import Config, ConfigError
from .gateway import Gateway
from .http.reporting import tell
from .observability import multiprocess as shared_metrics
from .observability.gauges import Census
from .observability.metrics import Metrics
from .observability.run_log import RunLog
from .observability.run_report import Observer, Traffic
from .observability.telemetry import Telemetry
from .scheduling import Batch

if TYPE_CHECKING:
    from .observability.tracing import Tracer


@contextlib.asynccontextmanager
async def observing(config: Config, gateways: Sequence[Gateway]) -> AsyncIterator[Telemetry]:
    """Raises ConfigError for traces without OpenTelemetry."""
    registry, traffic = CollectorRegistry(), Traffic()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, functools.partial(_is_model, gateways), provider=config.dialects)
    observers: list[Observer] = [metrics.observe, RunLog(config.log_sample).observe]
    reports = Batch(functools.partial(tell, observers))
    gauges = Census(registry, metrics, reports, traffic=traffic, gateways=gateways)
    async with _tracing(config, observers) as tracer, _updating(gauges):
        yield Telemetry(
            traffic=traffic, observers=observers, reports=reports, registry=registry, gauges=gauges, tracer=tracer
        )
        reports.flush()
    metrics.settle()


def _is_model(gateways: Sequence[Gateway], model: str, *, answered: bool) -> bool:
    return any(each.runtime.catalog.is_model(model, answered=answered) for each in gateways)


@contextlib.asynccontextmanager
async def _updating(gauges: Census) -> AsyncIterator[None]:
    """With several workers another one may be scraped, so the gauges are updated all the time."""
    if not shared_metrics.is_shared():
        yield
        return
    updating = asyncio.create_task(gauges.keep_taking(), name="update gauges")
    yield
    updating.cancel()
    await asyncio.wait([updating])


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
