"""What observes the runs of the process: metrics and log always, traces if they are switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry

from ..scheduling import Batch
from .gauges import Census
from .run_report import Observer, RunReport, Traffic

if TYPE_CHECKING:
    from .tracing import Tracer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Telemetry:
    """Survives a configuration reload."""

    traffic: Traffic
    observers: list[Observer]
    """Are called with the report of each finished run."""
    reports: Batch[RunReport]
    """Of runs that have just finished, on their way to the observers."""
    registry: CollectorRegistry
    gauges: Census
    tracer: Tracer | None
    """Only with `--trace`."""


TELEMETRY = web.AppKey("oaicompat_proxy.telemetry", Telemetry)
"""In every application of ours, once it has started up."""
