"""What is counted and measured: every metric with its labels and what it tells. The README's table is made of this.

Names by Prometheus' convention; what OpenTelemetry's GenAI conventions have a name for is called so, with the
boundaries that they advise. A label has few values: outcomes and codes of errors are ours, models are bounded by
`metrics.MOST_MODELS`.

Source: OpenTelemetry semantic conventions, "Generative AI metrics"; Prometheus, "Metric and label naming".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from .metric_buffer import Collected

MODEL, ERROR = "gen_ai_request_model", "error_type"
RUN = ("gen_ai_operation_name", "gen_ai_provider_name", MODEL)
"""What the conventions ask for in each of their metrics."""

DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300.0, 1200.0)
"""Seconds; as advised, and two more: agents take longer than models."""
FIRST_SIGNS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 60.0)
"""Seconds; as advised, and one more."""
ADDED = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds: a proxy's part is small."""
TOKENS = tuple(4.0**power for power in range(14))
"""As advised."""


class Definition(NamedTuple):
    kind: str
    """`counter`, `gauge` or `histogram`."""
    name: str
    """As it is scraped; a histogram's without `_bucket`, `_sum` and `_count`."""
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's."""

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.text, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Collected:
        return Collected(self.name, self.text, self.labels, registry=registry, buckets=self.buckets)

    def gauge(self, registry: CollectorRegistry, *, same_in_all: bool = False) -> Gauge:
        """`same_in_all`: each worker tells the same, so several do not add up."""
        mode: Literal["livemax", "livesum"] = "livemax" if same_in_all else "livesum"
        return Gauge(self.name, self.text, self.labels, registry=registry, multiprocess_mode=mode)


RUNS = Definition(
    "counter",
    "oaicompat_runs_total",
    "Requests for a run that are over.",
    ("gen_ai_operation_name", MODEL, "outcome", "finish_reason"),
)
RUNNING = Definition("gauge", "oaicompat_runs_running", "Runs that are being answered.")
WAITING = Definition(
    "gauge", "oaicompat_runs_waiting", "Requests that wait for the run before in their session, or for a free slot."
)
DURATION = Definition(
    "histogram",
    "gen_ai_server_request_duration_seconds",
    "From a request's arrival to the end of its answer.",
    (*RUN, ERROR),
    DURATIONS,
)
FIRST_TOKEN = Definition(
    "histogram",
    "gen_ai_server_time_to_first_token_seconds",
    "From a request's arrival to the first of its streamed answer.",
    RUN,
    FIRST_SIGNS,
)
FIRST_EVENT = Definition(
    "histogram",
    "oaicompat_time_to_first_event_seconds",
    "From the call of the gateway to the first that comes of the agent's run.",
    (MODEL,),
    FIRST_SIGNS,
)
PROXY_TIME = Definition(
    "histogram",
    "oaicompat_added_seconds",
    "What this proxy alone adds, by stage: call, from the whole request to the call of the gateway without waiting; "
    "first_token, from the read that brought the first token to the write that sent it.",
    ("stage",),
    ADDED,
)
TOKEN_USAGE = Definition(
    "histogram",
    "gen_ai_client_token_usage",
    "Tokens of a run, as its agent counts them: input and output.",
    (*RUN, "gen_ai_token_type"),
    TOKENS,
)
CHUNKS = Definition("counter", "oaicompat_chunks_total", "Chunks of streamed answers.", (MODEL,))
TICKS = Definition("counter", "oaicompat_ticks_total", "Model turns inside runs.", (MODEL,))
BYTES = Definition(
    "counter",
    "oaicompat_bytes_total",
    "Bytes of runs, received from and sent to the client and the gateway.",
    ("side", "direction"),
)
UPSTREAM_ERRORS = Definition(
    "counter", "oaicompat_upstream_errors_total", "Runs that failed at the gateway or the agent, by code.", (ERROR,)
)
DISCONNECTS = Definition(
    "counter", "oaicompat_client_disconnects_total", "Clients that left before the end of their answer."
)
CANCELLED = Definition("counter", "oaicompat_runs_cancelled_total", "Runs of the agent that were stopped halfway.")
RETRIES = Definition(
    "counter",
    "oaicompat_retries_total",
    "What was tried once more: request, by an official client; connect to the gateway, close of a session, by us.",
    ("what",),
)
RECOGNISABLE = Definition(
    "gauge", "oaicompat_sessions_recognisable", "Sessions in the store, whose conversations can be continued."
)
HELD = Definition("gauge", "oaicompat_sessions_held", "Lasting sessions whose lock is held.")
SETTLING = Definition("gauge", "oaicompat_sessions_settling", "Sessions that are settled in the background.")
CLOSING = Definition("gauge", "oaicompat_sessions_closing", "Sessions that are closed, or wait in the queue for it.")
FORGOTTEN = Definition(
    "counter",
    "oaicompat_sessions_forgotten_total",
    "Sessions that the gateway had forgotten when their conversation went on; it was sent again whole.",
)
UNCLOSED = Definition("counter", "oaicompat_sessions_unclosed_total", "Sessions that could not be closed.")
BUILD = Definition(
    "gauge", "oaicompat_build_info", "What runs here; always 1.", ("version", "python_version", "aiohttp_version")
)

ALL = tuple(each for each in list(vars().values()) if isinstance(each, Definition))
