"""The metrics of this process: each run is counted once, when it is over."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable

import aiohttp
from prometheus_client import CollectorRegistry, disable_created_metrics

from .. import __version__
from ..outcomes import CLIENT_GONE, FAILED_UPSTREAM, SUCCESS
from . import metric_names as names
from .run_report import RunReport

OTHER = "other"
"""The model of a run whose model is none that we know."""

MOST_MODELS = 50
"""Models that have series of their own: each has some hundred, and their names come from clients."""


class Metrics:
    """Takes what there is to tell of each run."""

    def __init__(self, registry: CollectorRegistry, is_known: Callable[[str], bool], *, provider: str) -> None:
        """`is_known`: whether there is a model of this name, as far as is known without asking.

        `provider`: the agent's dialect, which is what OpenTelemetry wants to know of where tokens come from.
        """
        disable_created_metrics()
        self._is_known = is_known
        self._provider = provider
        self._models: set[str] = set()
        # a child is looked up by its labels' values, of which there are few
        self._runs = functools.cache(names.RUNS.counter(registry).labels)
        self._durations = functools.cache(names.DURATION.histogram(registry).labels)
        self._first_tokens = functools.cache(names.FIRST_TOKEN.histogram(registry).labels)
        self._first_events = functools.cache(names.FIRST_EVENT.histogram(registry).labels)
        self._tokens = functools.cache(names.TOKEN_USAGE.histogram(registry).labels)
        self._chunks = functools.cache(names.CHUNKS.counter(registry).labels)
        self._ticks = functools.cache(names.TICKS.counter(registry).labels)
        self._upstream_errors = functools.cache(names.UPSTREAM_ERRORS.counter(registry).labels)
        self._disconnects = names.DISCONNECTS.counter(registry)
        proxy_time, size = names.PROXY_TIME.histogram(registry), names.BYTES.counter(registry)
        self._added_to_call, self._added_to_token = proxy_time.labels("call"), proxy_time.labels("first_token")
        self._asked, self._answered = size.labels("client", "received"), size.labels("client", "sent")
        self._sent, self._received = size.labels("gateway", "sent"), size.labels("gateway", "received")
        self.retries = names.RETRIES.counter(registry)
        self._repeated = self.retries.labels("request")
        build = names.BUILD.gauge(registry, same_in_all=True)
        build.labels(__version__, platform.python_version(), aiohttp.__version__).set(1)

    def observe(self, report: RunReport) -> None:
        model = self._bounded(report)
        run = (report.operation, self._provider, model)
        self._runs(report.operation, model, report.outcome, report.finish_reason).inc()
        self._durations(*run, report.error_type).observe(report.duration)
        if report.first_event is not None:
            self._first_events(model).observe(report.first_event - report.called)
        if report.stream and report.first_sent is not None:
            self._first_tokens(*run).observe(report.first_sent - report.began)
        self._observe_proxy(report)
        self._count(report, model)
        if report.usage is not None:
            self._tokens(*run, "input").observe(report.usage.input_tokens)
            self._tokens(*run, "output").observe(report.usage.output_tokens)
        if report.outcome in FAILED_UPSTREAM:
            self._upstream_errors(report.error_type).inc()
        elif report.outcome == CLIENT_GONE:
            self._disconnects.inc()

    def _observe_proxy(self, report: RunReport) -> None:
        if report.added_before is not None:
            self._added_to_call.observe(report.added_before)
        if report.added_to_first is not None:
            self._added_to_token.observe(report.added_to_first)
        if report.is_retry:
            self._repeated.inc()

    def _count(self, report: RunReport, model: str) -> None:
        if report.chunks:
            self._chunks(model).inc(report.chunks)
        if report.ticks:
            self._ticks(model).inc(report.ticks)
        self._asked.inc(report.requested_bytes)
        self._answered.inc(report.sent_bytes)
        self._sent.inc(report.turn_bytes)
        self._received.inc(report.received_bytes)

    def _bounded(self, report: RunReport) -> str:
        """The model, if it is one: known by name, or by an answer. What a client made up has no series."""
        model = report.model
        if model in self._models:
            return model
        if len(self._models) < MOST_MODELS and (report.outcome == SUCCESS or self._is_known(model)):
            self._models.add(model)
            return model
        return OTHER
