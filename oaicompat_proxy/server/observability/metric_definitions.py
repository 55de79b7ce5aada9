"""Every metric with its labels and its meaning. The table in `README.md` beside this module is made from them.

Names follow Prometheus' convention. A metric that OpenTelemetry's GenAI conventions define has their name and their
bucket boundaries. A label has few values: outcomes and error codes are a fixed list, models are bounded by
`metrics.MAX_MODELS`.

Source: OpenTelemetry semantic conventions, "Generative AI metrics"; Prometheus, "Metric and label naming".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MODEL, ERROR = "gen_ai_request_model", "error_type"
RUN = ("gen_ai_operation_name", "gen_ai_provider_name", MODEL)
"""Labels that the conventions require in each of their metrics."""

DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300.0, 1200.0)
"""Seconds, as the conventions advise, and two more: agents take longer than models."""
LATENCIES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 60.0)
"""Seconds, as the conventions advise, and one more."""
ADDED = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds."""
TOKENS = tuple(4.0**power for power in range(14))
"""Tokens, as the conventions advise."""


class Definition(NamedTuple):
    kind: str
    """`counter`, `gauge` or `histogram`."""
    name: str
    """The name as it is scraped. A histogram's name has no `_bucket`, `_sum` and `_count`."""
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.text, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.text, self.labels, registry=registry, buckets=self.buckets)

    def gauge(self, registry: CollectorRegistry, *, same_in_all: bool = False) -> Gauge:
        """`same_in_all`: every worker has the same value, so the values of several workers are not added."""
        mode: Literal["livemax", "livesum"] = "livemax" if same_in_all else "livesum"
        return Gauge(self.name, self.text, self.labels, registry=registry, multiprocess_mode=mode)


RUNS = Definition(
    "counter",
    "oaicompat_runs_total",
    "Finished requests for a run.",
    ("api", "gen_ai_operation_name", MODEL, "outcome", "finish_reason"),
)
RUNNING = Definition("gauge", "oaicompat_runs_running", "Runs that are being answered now.")
WAITING = Definition(
    "gauge", "oaicompat_runs_waiting", "Requests that wait for the previous run of their session, or for a free run."
)
DURATION = Definition(
    "histogram",
    "gen_ai_server_request_duration_seconds",
    "Seconds from a request's arrival to the end of its answer.",
    (*RUN, ERROR),
    DURATIONS,
)
FIRST_TOKEN = Definition(
    "histogram",
    "gen_ai_server_time_to_first_token_seconds",
    "Seconds from a request's arrival to the first token of its streamed answer.",
    RUN,
    LATENCIES,
)
FIRST_EVENT = Definition(
    "histogram",
    "oaicompat_time_to_first_event_seconds",
    "Seconds from the request to the gateway to the first event of the run.",
    (MODEL,),
    LATENCIES,
)
PROXY_TIME = Definition(
    "histogram",
    "oaicompat_added_seconds",
    "Seconds that the proxy itself adds. Stage call: from the complete request to the request to the gateway, without "
    "waiting. Stage first_token: from the read of the first token to the write that sends it.",
    ("stage",),
    ADDED,
)
TOKEN_USAGE = Definition(
    "histogram",
    "gen_ai_client_token_usage",
    "Tokens of a run as its agent counts them, input and output.",
    (*RUN, "gen_ai_token_type"),
    TOKENS,
)
CHUNKS = Definition("counter", "oaicompat_chunks_total", "Chunks of streamed answers.", (MODEL,))
TICKS = Definition("counter", "oaicompat_ticks_total", "Ticks of runs: model steps.", (MODEL,))
BYTES = Definition(
    "counter",
    "oaicompat_bytes_total",
    "Bytes of runs, received from and sent to clients and gateways.",
    ("side", "direction"),
)
UPSTREAM_ERRORS = Definition(
    "counter",
    "oaicompat_upstream_errors_total",
    "Runs that failed at the gateway or the agent, by error code.",
    (ERROR,),
)
DISCONNECTS = Definition(
    "counter", "oaicompat_client_disconnects_total", "Clients that left before the end of their answer."
)
CANCELLED = Definition("counter", "oaicompat_runs_cancelled_total", "Runs that were stopped before their end.")
RETRIES = Definition(
    "counter",
    "oaicompat_retries_total",
    "Repeated attempts: request, by an official client; connect to the gateway and close of a session, by the proxy.",
    ("what",),
)
BUDGET_TOKENS = Definition(
    "counter", "oaicompat_budget_tokens_total", "Tokens that were counted for a key with a budget.", ("key",)
)
BUDGET_RUNS = Definition(
    "counter", "oaicompat_budget_runs_total", "Runs that were counted for a key with a budget.", ("key",)
)
BUDGET_REFUSALS = Definition(
    "counter", "oaicompat_budget_refusals_total", "Requests that were refused for a budget of their key.", ("key",)
)
SIDE_REQUESTS = Definition(
    "counter",
    "oaicompat_side_requests_total",
    "Requests of front ends beside a conversation, by kind, that were answered without a run or by another model.",
    ("kind",),
)
RECOGNISABLE = Definition(
    "gauge", "oaicompat_sessions_recognisable", "Stored sessions whose conversations can continue."
)
LOCKED = Definition("gauge", "oaicompat_sessions_locked", "Kept sessions with a running run, which hold their lock.")
FINALIZING = Definition(
    "gauge", "oaicompat_sessions_finalizing", "Sessions that are finalized in the background: drained, kept or closed."
)
CLOSING = Definition("gauge", "oaicompat_sessions_closing", "Sessions that are being closed, or wait for it.")
FORGOTTEN = Definition(
    "counter",
    "oaicompat_sessions_forgotten_total",
    "Sessions that the gateway had forgotten; their whole conversation was sent again.",
)
CLOSE_FAILURES = Definition("counter", "oaicompat_sessions_close_failures_total", "Sessions that could not be closed.")
BUILD = Definition(
    "gauge",
    "oaicompat_build_info",
    "Versions of the running software; the value is always 1.",
    ("version", "python_version", "aiohttp_version"),
)

ALL = tuple(each for each in list(vars().values()) if isinstance(each, Definition))
