"""The metrics of this process. Each run is counted once, when it is over."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Sequence

import aiohttp
from prometheus_client import CollectorRegistry, Histogram

from ... import __version__
from . import metric_definitions as names
from .batch_histogram import observe_all
from .outcomes import CLIENT_GONE, FAILED_UPSTREAM, SUCCESS
from .run_report import RunSummary

OTHER = "other"
"""The label of a model that the gateway does not list."""

MAX_MODELS = 50
"""Models that have series of their own. Each has some hundred series, and clients choose the names."""

MAX_BUFFERED = 1000
"""Runs whose numbers are collected before they are counted: counting them takes a millisecond."""

Labels = tuple[str, str, str, str, str, str]
"""API, operation, model, outcome, finish reason and type of the error."""
Numbers = tuple[float | None, ...]


class Metrics:
    """Observes runs."""

    def __init__(self, registry: CollectorRegistry, is_model: Callable[..., bool], *, provider: str) -> None:
        """`is_model`: whether a model of this name is known, given the name and whether it has `answered` a request.

        `provider`: name of the agent's dialect, for OpenTelemetry's `gen_ai.provider.name`.
        """
        self._is_model = is_model
        self._provider = provider
        self._runs = names.RUNS.counter(registry)
        self._durations = names.DURATION.histogram(registry)
        self._first_tokens = names.FIRST_TOKEN.histogram(registry)
        self._first_events = names.FIRST_EVENT.histogram(registry)
        self._tokens = names.TOKEN_USAGE.histogram(registry)
        self._chunks = names.CHUNKS.counter(registry)
        self._ticks = names.TICKS.counter(registry)
        self._upstream_errors = names.UPSTREAM_ERRORS.counter(registry)
        self._disconnects = names.DISCONNECTS.counter(registry)
        self.retries = names.RETRIES.counter(registry)
        self._side_requests = names.SIDE_REQUESTS.counter(registry)
        self._request_retries = self.retries.labels("request")
        added, size = names.PROXY_TIME.histogram(registry), names.BYTES.counter(registry)
        self._added = [added.labels(stage) for stage in ("call", "first_token")]
        self._bytes = [size.labels(side, way) for side in ("client", "gateway") for way in ("received", "sent")]
        build = names.BUILD.gauge(registry, same_in_all=True)
        build.labels(__version__, platform.python_version(), aiohttp.__version__).set(1)
        # state
        self._models: set[str] = set()
        self._buffered = 0
        """Runs since the last flush."""
        self._numbers: defaultdict[Labels, list[Numbers]] = defaultdict(list)
        """The numbers of these runs, in the order of `_count`."""

    def observe(self, run: RunSummary) -> None:
        """Buffers the numbers of the run in one tuple: adding each to its series takes 10 k instructions more."""
        labels = run.api, run.operation, self._model_label(run), run.outcome, run.finish_reason, run.error_type
        usage = run.usage
        self._numbers[labels].append(
            (
                run.duration,
                run.first_event,
                run.first_token if run.stream else None,
                run.chunks,
                run.ticks,
                None if usage is None else usage.input_tokens,
                None if usage is None else usage.output_tokens,
                run.added_before_call,
                run.added_to_first_token,
                run.requested_bytes,
                run.sent_bytes,
                run.received_bytes,
                run.turn_bytes,
            )
        )
        if run.is_retry:
            self._request_retries.inc()
        if run.side_request:
            self._side_requests.labels(run.side_request).inc()
        self._buffered += 1
        if self._buffered >= MAX_BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Passes the numbers of all runs so far to prometheus-client."""
        for labels, runs in self._numbers.items():
            self._count(labels, runs)
        self._numbers.clear()
        self._buffered = 0

    def _count(self, labels: Labels, runs: Sequence[Numbers]) -> None:
        """Counts runs of the same labels."""
        api, operation, model, outcome, finish_reason, error_type = labels
        columns = [[number for number in column if number is not None] for column in zip(*runs, strict=True)]
        durations, first_events, first_tokens, chunks, ticks, input_tokens, output_tokens = columns[:7]
        about = operation, self._provider, model
        self._runs.labels(api, operation, model, outcome, finish_reason).inc(len(runs))
        _observe(self._durations, (*about, error_type), durations)
        _observe(self._first_events, (model,), first_events)
        _observe(self._first_tokens, about, first_tokens)
        _observe(self._tokens, (*about, "input"), input_tokens)
        _observe(self._tokens, (*about, "output"), output_tokens)
        self._chunks.labels(model).inc(sum(chunks))
        self._ticks.labels(model).inc(sum(ticks))
        for histogram, amounts in zip(self._added, columns[7:9], strict=True):
            observe_all(histogram, amounts)
        for counter, sizes in zip(self._bytes, columns[9:], strict=True):
            counter.inc(sum(sizes))
        if outcome in FAILED_UPSTREAM:
            self._upstream_errors.labels(error_type).inc(len(runs))
        elif outcome == CLIENT_GONE:
            self._disconnects.inc(len(runs))

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


def _observe(histogram: Histogram, labels: Sequence[str], amounts: Sequence[float]) -> None:
    """A series without observations is not made."""
    if amounts:
        observe_all(histogram.labels(*labels), amounts)
