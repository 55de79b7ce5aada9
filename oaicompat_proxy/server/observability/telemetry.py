"""The observers of the runs of the process: metrics and log always, traces with `--trace`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry

from .gauges import Gauges
from .run_report import Observer, RunCounts

if TYPE_CHECKING:
    from .tracing import Tracer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Telemetry:
    """Survives a configuration reload."""

    runs: RunCounts
    observers: list[Observer]
    """Functions that are called with each finished run."""
    registry: CollectorRegistry
    gauges: Gauges
    tracer: Tracer | None
    """Only with `--trace`."""


TELEMETRY = web.AppKey("oaicompat_proxy.telemetry", Telemetry)
"""Set in each of our applications at its startup."""
