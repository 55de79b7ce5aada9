"""Who observes the runs of an application: metrics and the log always, traces if they are switched on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from ..config import ConfigError
from . import shared_metrics
from .census import Census
from .closing import Closing
from .keys import CATALOG, CENSUS, CONFIG, OBSERVERS, REGISTRY, SESSIONS, TRACER, TRAFFIC, UPSTREAM
from .metrics import Metrics
from .run_log import RunLog
from .run_report import Observer
from .session_locks import SessionLocks
from .session_store import SessionStore


@contextlib.asynccontextmanager
async def observing(
    app: web.Application, *, closer: Closing, locks: SessionLocks, store: SessionStore | None
) -> AsyncIterator[None]:
    """Around everything that runs. Raises ConfigError for traces without OpenTelemetry."""
    registry = app[REGISTRY] = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = Metrics(registry, app[CATALOG].knows, provider=app[CONFIG].dialect)
    app[CENSUS] = Census(
        registry,
        metrics.retries,
        upstream=app[UPSTREAM],
        traffic=app[TRAFFIC],
        sessions=app[SESSIONS],
        closer=closer,
        locks=locks,
        store=store,
    )
    observers: list[Observer] = [metrics.observe, RunLog(app[CONFIG].log_sample).observe]
    app[OBSERVERS] = observers
    async with _tracing(app), _counting(app[CENSUS]):
        yield


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
        from .tracing import end_trace, make_tracer
    except ImportError:
        raise ConfigError("--trace needs OpenTelemetry: pip install 'oaicompat-proxy[tracing]'") from None
    tracer = app[TRACER] = make_tracer(app[CONFIG])
    app[OBSERVERS].append(end_trace)
    yield
    await tracer.stop()
