"""The metrics of this process. Each run is counted once, when it is over."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Generic, TypeVar

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Histogram

from ... import __version__
from . import metric_definitions as names
from .buffered_metrics import BufferedCounter, BufferedHistogram
from .outcomes import CLIENT_GONE, FAILED_UPSTREAM, SUCCESS
from .run_report import RunSummary

OTHER = "other"
"""The label of a model that the gateway does not list."""

MAX_MODELS = 50
"""Models that have series of their own. Each has some hundred series, and clients choose the names."""

MAX_BUFFERED = 1000
"""Runs whose numbers are collected before they are counted: counting them takes a millisecond."""

T = TypeVar("T")


class Series(dict[tuple[str, ...], T], Generic[T]):
    """The series of a metric by their label values, made at the first access."""

    def __init__(self, make: Callable[..., T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, labels: tuple[str, ...]) -> T:
        series = self[labels] = self._make(*labels)
        return series


class Metrics:
    """Observes runs."""

    def __init__(self, registry: CollectorRegistry, is_model: Callable[..., bool], *, provider: str) -> None:
        """`is_model`: whether a model of this name is known, given the name and whether it has `answered` a request.

        `provider`: name of the agent's dialect, for OpenTelemetry's `gen_ai.provider.name`.
        """
        self._is_model = is_model
        self._provider = provider
        self._all: list[Series[BufferedCounter] | Series[BufferedHistogram]] = []
        self._runs = self._counters(names.RUNS.counter(registry))
        self._durations = self._histograms(names.DURATION.histogram(registry))
        self._first_tokens = self._histograms(names.FIRST_TOKEN.histogram(registry))
        self._first_events = self._histograms(names.FIRST_EVENT.histogram(registry))
        self._tokens = self._histograms(names.TOKEN_USAGE.histogram(registry))
        self._chunks = self._counters(names.CHUNKS.counter(registry))
        self._ticks = self._counters(names.TICKS.counter(registry))
        self._upstream_errors = self._counters(names.UPSTREAM_ERRORS.counter(registry))
        self._disconnects = names.DISCONNECTS.counter(registry)
        self.retries = self._counters(names.RETRIES.counter(registry))
        self._side_requests = self._counters(names.SIDE_REQUESTS.counter(registry))
        self._request_retries = self.retries["request",]
        added = self._histograms(names.PROXY_TIME.histogram(registry))
        size = self._counters(names.BYTES.counter(registry))
        self._added_before_call, self._added_to_first_token = added["call",], added["first_token",]
        self._client_received, self._client_sent = size["client", "received"], size["client", "sent"]
        self._gateway_sent, self._gateway_received = size["gateway", "sent"], size["gateway", "received"]
        build = names.BUILD.gauge(registry, same_in_all=True)
        build.labels(__version__, platform.python_version(), aiohttp.__version__).set(1)
        # state
        self._models: set[str] = set()
        self._buffered = 0
        """Runs since the last flush."""

    def observe(self, run: RunSummary) -> None:
        model = self._model_label(run)
        labels = run.operation, self._provider, model
        self._runs[run.api, run.operation, model, run.outcome, run.finish_reason].inc(1)
        self._durations[*labels, run.error_type].observe(run.duration)
        if run.first_event is not None:
            self._first_events[model,].observe(run.first_event)
        if run.stream and run.first_token is not None:
            self._first_tokens[labels].observe(run.first_token)
        self._chunks[model,].inc(run.chunks)
        self._ticks[model,].inc(run.ticks)
        if run.usage is not None:
            self._tokens[*labels, "input"].observe(run.usage.input_tokens)
            self._tokens[*labels, "output"].observe(run.usage.output_tokens)
        if run.outcome in FAILED_UPSTREAM:
            self._upstream_errors[run.error_type,].inc(1)
        elif run.outcome == CLIENT_GONE:
            self._disconnects.inc()
        if run.is_retry:
            self._request_retries.inc(1)
        if run.side_request:
            self._side_requests[run.side_request,].inc(1)
        self._observe_proxy(run)
        self._buffered += 1
        if self._buffered >= MAX_BUFFERED:
            self.flush()

    def _observe_proxy(self, run: RunSummary) -> None:
        if run.added_before_call is not None:
            self._added_before_call.observe(run.added_before_call)
        if run.added_to_first_token is not None:
            self._added_to_first_token.observe(run.added_to_first_token)
        self._client_received.inc(run.requested_bytes)
        self._client_sent.inc(run.sent_bytes)
        self._gateway_sent.inc(run.turn_bytes)
        self._gateway_received.inc(run.received_bytes)

    def flush(self) -> None:
        """Passes the counts of all runs so far to prometheus-client."""
        self._buffered = 0
        for series in self._all:
            for each in series.values():
                each.flush()

    def _counters(self, counter: Counter) -> Series[BufferedCounter]:
        series = Series(lambda *labels: BufferedCounter(counter.labels(*labels)))
        self._all.append(series)
        return series

    def _histograms(self, histogram: Histogram) -> Series[BufferedHistogram]:
        series = Series(lambda *labels: BufferedHistogram(histogram.labels(*labels)))
        self._all.append(series)
        return series

    def _model_label(self, run: RunSummary) -> str:
        """The model's name if it is known or has answered. A name that a client invented has no series of its own, even
        if a pattern of `--model` matches it.
        """
        if run.model in self._models:
            return run.model
        if len(self._models) < MAX_MODELS and self._is_model(run.model, answered=run.outcome == SUCCESS):
            self._models.add(run.model)
            return run.model
        return OTHER
