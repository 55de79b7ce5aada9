"""The metrics of this process: each run is counted once, when it is over.

What runs add to them is told to Prometheus' client when somebody asks; or soon, where another worker may be asked.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from prometheus_client import CollectorRegistry

from ... import __version__
from . import metric_definitions as names
from . import multiprocess as shared_metrics
from .metric_buffer import Spread, Tallies, Total
from .outcomes import CLIENT_GONE, FAILED_UPSTREAM, SUCCESS
from .run_report import RunReport

OTHER = "other"
"""The model of a run whose model is none that we know."""

MOST_MODELS = 50
"""Models that have series of their own: each has some hundred, and their names come from clients."""

SOON = 0.05
"""Seconds until another worker can tell of a run: nobody sees the difference, and many runs are written at once."""

Ending = tuple[str, str, str]
"""Outcome, finish reason and error type."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is counted of the runs of one operation with one model."""

    operation: str
    model: str
    first_event: Spread
    first_token: Spread
    input_tokens: Spread
    output_tokens: Spread
    chunks: Total
    ticks: Total
    endings: dict[Ending, tuple[Total, Spread]] = field(default_factory=dict)
    """How many ended so, and how long they took."""


class Metrics:
    """Takes what there is to tell of each run."""

    def __init__(self, registry: CollectorRegistry, is_model: Callable[..., bool], *, provider: str) -> None:
        """`is_model`: whether there is a model of this name, as far as is known without asking, given its name and
        whether it has `answered` a request.

        `provider`: the agent's dialect, which is what OpenTelemetry wants to know of where tokens come from.
        """
        self._is_model = is_model
        self._provider = provider
        self._is_shared = shared_metrics.is_shared()
        self._runs, self._durations = names.RUNS.counter(registry), names.DURATION.histogram(registry)
        self._first_tokens = names.FIRST_TOKEN.histogram(registry)
        self._first_events = names.FIRST_EVENT.histogram(registry)
        self._tokens = names.TOKEN_USAGE.histogram(registry)
        self._chunks, self._ticks = names.CHUNKS.counter(registry), names.TICKS.counter(registry)
        self._upstream_errors = names.UPSTREAM_ERRORS.counter(registry)
        self._disconnects = names.DISCONNECTS.counter(registry)
        self.retries = names.RETRIES.counter(registry)
        self._repeated = self.retries.labels("request")
        build = names.BUILD.gauge(registry, same_in_all=True)
        build.labels(__version__, platform.python_version(), aiohttp.__version__).set(1)
        # moving
        self._models: set[str] = set()
        self._series: dict[tuple[str, str], Series] = {}
        self._due: asyncio.TimerHandle | None = None
        self._tallies = tallies = Tallies()
        proxy_time, size = names.PROXY_TIME.histogram(registry), names.BYTES.counter(registry)
        self._added_to_call = tallies.spread(proxy_time, "call", zero=True)
        self._added_to_token = tallies.spread(proxy_time, "first_token", zero=True)
        self._asked = tallies.total(size, "client", "received", zero=True)
        self._answered = tallies.total(size, "client", "sent", zero=True)
        self._sent = tallies.total(size, "gateway", "sent", zero=True)
        self._received = tallies.total(size, "gateway", "received", zero=True)

    def observe(self, report: RunReport) -> None:
        series = self._series.get((report.operation, report.model)) or self._find_series(report)
        ending = (report.outcome, report.finish_reason, report.error_type)
        runs, durations = series.endings.get(ending) or self._add_ending(series, ending)
        runs.count += 1
        durations.note(report.duration)
        if report.first_event is not None:
            series.first_event.note(report.first_event - report.called)
        if report.stream and report.first_sent is not None:
            series.first_token.note(report.first_sent - report.began)
        series.chunks.count += report.chunks
        series.ticks.count += report.ticks
        usage = report.usage
        if usage is not None:
            series.input_tokens.note(usage.input_tokens)
            series.output_tokens.note(usage.output_tokens)
        if report.outcome in FAILED_UPSTREAM:
            self._upstream_errors.labels(report.error_type).inc()
        elif report.outcome == CLIENT_GONE:
            self._disconnects.inc()
        self._observe_proxy(report)
        if self._is_shared and self._due is None:
            self._due = asyncio.get_running_loop().call_later(SOON, self.settle)

    def settle(self) -> None:
        """What was observed so far can be told from now on."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._tallies.settle()

    def _observe_proxy(self, report: RunReport) -> None:
        if report.added_before is not None:
            self._added_to_call.note(report.added_before)
        if report.added_to_first is not None:
            self._added_to_token.note(report.added_to_first)
        if report.is_retry:
            self._repeated.inc()
        self._asked.count += report.requested_bytes
        self._answered.count += report.sent_bytes
        self._sent.count += report.turn_bytes
        self._received.count += report.received_bytes

    def _find_series(self, report: RunReport) -> Series:
        operation, model = report.operation, self._bounded(report)
        if (operation, model) not in self._series:
            run = (operation, self._provider, model)
            self._series[operation, model] = Series(
                operation,
                model,
                first_event=self._tallies.spread(self._first_events, model),
                first_token=self._tallies.spread(self._first_tokens, *run),
                input_tokens=self._tallies.spread(self._tokens, *run, "input"),
                output_tokens=self._tallies.spread(self._tokens, *run, "output"),
                chunks=self._tallies.total(self._chunks, model),
                ticks=self._tallies.total(self._ticks, model),
            )
        return self._series[operation, model]

    def _add_ending(self, series: Series, ending: Ending) -> tuple[Total, Spread]:
        outcome, finish_reason, error = ending
        runs = self._tallies.total(self._runs, series.operation, series.model, outcome, finish_reason)
        durations = self._tallies.spread(self._durations, series.operation, self._provider, series.model, error)
        series.endings[ending] = runs, durations
        return runs, durations

    def _bounded(self, report: RunReport) -> str:
        """The model, if it is one: known by name, or by an answer. What a client made up has no series, even if a
        pattern fits it.
        """
        model = report.model
        if model in self._models:
            return model
        if len(self._models) < MOST_MODELS and self._is_model(model, answered=report.outcome == SUCCESS):
            self._models.add(model)
            return model
        return OTHER
