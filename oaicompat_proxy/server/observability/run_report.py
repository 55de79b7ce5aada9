"""Timings and counts of one run, filled in at each stage and handed to metrics, log and traces at the end.

No stage is called for each chunk. Counters of chunks and bytes belong to the objects that handle these, and are read at
the end. Moments are values of `time.perf_counter()`, durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, Protocol

from ...core.answer import FinishReason
from ...core.events import Event, Usage
from ...core.message import Message
from .outcomes import CLIENT_GONE, SUCCESS, error_type, outcome_of, reason_of, status_of
from .run_recorder import RunRecorder

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a request whose client has disconnected. It is only logged."""

UNKNOWN = "unknown"
"""The model of a request that could not be read so far."""


Phase = Literal["arrived", "waiting", "running", "over"]
"""`waiting`: for the previous run of its session, or for a run permit."""


class RunTracer(Protocol):
    """Makes spans of one run."""

    def on_request(self, parameters: Mapping[str, Any], messages: Sequence[Message]) -> None: ...

    def on_event(self, event: Event) -> Event: ...

    def end(self, run: RunSummary) -> None: ...


class RunCounts:
    """Runs of this process in progress."""

    def __init__(self) -> None:
        self.waiting = 0
        """Requests that wait for the previous run of their session, or for a run permit."""
        self.running = 0


class RunStats(Protocol):
    """Counters of the run at the gateway."""

    @property
    def sent(self) -> int:
        """Bytes of the turn."""

    @property
    def received(self) -> int:
        """Bytes of the gateway's response."""

    @property
    def execution(self) -> str:
        """The agent's own id of the run."""

    @property
    def upstream_request_id(self) -> str: ...


class TranslatorStats(Protocol):
    """Counters of the run's events."""

    @property
    def ticks(self) -> int: ...

    @property
    def finish_reason(self) -> FinishReason | None: ...

    @property
    def waits_for_client(self) -> bool: ...

    def usage_so_far(self) -> Usage | None: ...

    @property
    def usage(self) -> Usage | None: ...


class EncoderStats(Protocol):
    @property
    def chunks(self) -> int:
        """Chunks that were encoded so far."""


@dataclass(slots=True)
class RunSummary:
    """One request for a run, as metrics, log and traces read it once it is over."""

    operation: str
    """`chat` or `text_completion`: OpenTelemetry's `gen_ai.operation.name`."""
    api: str = ""
    """The name of the client API."""
    request_id: str = "-"
    client: str = "-"
    key_name: str = "-"
    user: str = ""
    """The label of the user, as the setting `log_users` forms it."""
    is_retry: bool = False
    """The client says that the request is a retry."""
    side_request: str = ""
    """The kind of a request that a front end makes beside a conversation, if it does not simply run the agent."""
    model: str = UNKNOWN
    """The model's name, as sent by the client."""
    stream: bool = False
    session: str = ""
    """The gateway's name of it. A name that a client chose is only part of it as a keyed hash."""
    status: int = 0
    outcome: str = ""
    error_type: str = ""
    reason: str = ""
    """Why the gateway or a store failed, for the operator."""
    finish_reason: str = ""
    """Empty if the response has no end of its own."""
    ticks: int = 0
    usage: Usage | None = None
    chunks: int = 0
    requested_bytes: int = 0
    sent_bytes: int = 0
    """Bytes sent to the client, head included."""
    turn_bytes: int = 0
    """Bytes sent to the gateway."""
    received_bytes: int = 0
    """Bytes received from the gateway."""
    execution: str = ""
    """The agent's own id of the run."""
    upstream_request_id: str = ""
    trace_id: str = ""
    began: float = 0.0
    """Moment of the request's arrival."""
    waited: float = 0.0
    first_event: float | None = None
    """Time from the call of the gateway to the first bytes of the run."""
    first_token: float | None = None
    """Time from the request's arrival to the first part that was sent."""
    duration: float = 0.0
    added_before_call: float | None = None
    """Time of this proxy alone from the complete request to the call of the gateway."""
    added_to_first_token: float | None = None
    """Time of this proxy from the read that brought the first token to the write that sent it."""
    trace: RunTracer | None = None


class RunReport(RunSummary):
    """Fills in the summary of one request, from its arrival to the end of its response."""

    __slots__ = (
        *("_called", "_counts", "_encoder", "_phase", "_queued", "_received", "_stats", "_translator", "_whole"),
        *("headers", "recording", "watch"),
    )

    def __init__(self, operation: str, counts: RunCounts) -> None:
        super().__init__(operation, began=perf_counter())
        self._counts = counts
        # state
        self.headers: Mapping[str, str] = {}
        """Sent to the gateway with the run."""
        self.watch: Callable[[Event], Event] | None = None
        """Is called with every event of the run and returns it."""
        self.recording: RunRecorder | None = None
        self._stats: RunStats | None = None
        self._translator: TranslatorStats | None = None
        self._encoder: EncoderStats | None = None
        self._phase: Phase = "arrived"
        self._whole = self._queued = self._called = self._received = 0.0

    @property
    def reported_usage(self) -> Usage | None:
        """The usage that the agent has reported, once the answer is complete."""
        return self._translator.usage if self._translator is not None else None

    @property
    def used_at_least(self) -> int:
        """Tokens that the run has used for sure: those reported so far, or one for each event that was sent."""
        reported = self._translator.usage_so_far() if self._translator else None
        return max(reported.total_tokens if reported else 0, self._encoder.chunks if self._encoder else 0)

    @property
    def waits_for_client(self) -> bool:
        """The answer ended with a confirmation, and the run continues with the reply."""
        return self._translator is not None and self._translator.waits_for_client

    def has_begun(self, *, resumed: bool) -> bool:
        """Whether the agent may have worked. `resumed`: the run had begun with another request."""
        return self._stats is not None and (resumed or self._stats.sent > 0)

    # the stages

    def on_body(self, size: int) -> None:
        """The request is complete. `size`: bytes of its body."""
        self.requested_bytes = size
        self._whole = perf_counter()

    def on_request(self, model: str, *, stream: bool) -> None:
        self.model = model
        self.stream = stream

    def on_queued(self) -> None:
        self._queued = perf_counter()
        self._counts.waiting += 1
        self._phase = "waiting"

    def on_started(self, session: str) -> None:
        """The request may run now, in this session."""
        if self._phase == "waiting":
            self._counts.waiting -= 1
            self.waited = perf_counter() - self._queued
        self.session = session
        self._counts.running += 1
        self._phase = "running"

    def on_run(self, stats: RunStats) -> None:
        self._stats = stats

    def on_call(self, translator: TranslatorStats, encoder: EncoderStats | None = None) -> None:
        """The gateway is called now. `encoder`: of a streamed response."""
        self._translator, self._encoder = translator, encoder
        self._called = perf_counter()
        self.added_before_call = self._called - self._whole - self.waited

    def on_read(self, moment: float) -> None:
        """Bytes of the run that arrived at `moment` were read."""
        if self.first_event is None:
            self.first_event = moment - self._called
        self._received = moment

    def on_sent(self) -> None:
        """The parts of the last read were sent. Only the first call counts."""
        if self.first_token is None:
            now = perf_counter()
            self.first_token, self.added_to_first_token = now - self.began, now - self._received

    def fail(self, error: Exception, status: int = 0) -> None:
        """Sets the failure; only the first call counts. `status`: of the error in the client's API, if it differs."""
        if not self.outcome:
            self.outcome, self.error_type, self.reason = outcome_of(error), error_type(error), reason_of(error)
            self.status = status or status_of(error)
            if self.recording is not None:
                self.recording.fail(error)

    def on_client_gone(self) -> None:
        if not self.outcome:
            self.outcome = self.error_type = CLIENT_GONE
            self.status = CLIENT_CLOSED_REQUEST

    def end(self, *, sent: int, status: int = 0) -> None:
        """Completes the summary.

        `sent`: bytes that went to the client, head included. `status`: of a response that is complete.
        """
        self.duration = perf_counter() - self.began
        self.outcome = self.outcome or SUCCESS
        self.sent_bytes = sent
        self.status = status or (200 if sent else self.status)
        if self._phase == "waiting":
            self._counts.waiting -= 1
        elif self._phase == "running":
            self._counts.running -= 1
        self._phase = "over"
        self.read_counters()

    @property
    def phase(self) -> Phase:
        return self._phase

    def read_counters(self) -> None:
        """Fills in the counts so far."""
        if (translator := self._translator) is not None:
            self.usage, self.ticks = translator.usage, translator.ticks
            if self.outcome == SUCCESS and translator.finish_reason is not None:
                self.finish_reason = translator.finish_reason.value
        if self._encoder is not None:
            self.chunks = self._encoder.chunks
        if (stats := self._stats) is not None:
            self.turn_bytes, self.received_bytes = stats.sent, stats.received
            self.execution, self.upstream_request_id = stats.execution, stats.upstream_request_id


Observer = Callable[[RunSummary], None]
