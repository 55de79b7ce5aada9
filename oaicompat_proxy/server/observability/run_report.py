"""What there is to tell of one run: filled at the few moments that matter, read by observers when it is over.

Nothing is done for a chunk: what has to be counted there is an integer of whoever handles it anyway, and is fetched
from there at the end. Times are `time.perf_counter()`'s, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

from ...core.answer import FinishReason
from ...core.answer_options import AnswerOptions
from ...core.events import Event, Usage
from ...core.message import Message
from .outcomes import CLIENT_GONE, SUCCESS, error_type, outcome_of, status_of

CLIENT_CLOSED_REQUEST = 499
"""nginx's word for a request that nobody waits for any more; it is only logged, since nobody is there to get it."""

ARRIVED, WAITING, RUNNING, OVER = range(4)

UNKNOWN = "unknown"
"""The model of a request that could not be read so far."""


class RunTracer(Protocol):
    """Makes spans of one run."""

    def note_request(self, parameters: Mapping[str, Any], messages: Sequence[Message]) -> None: ...

    def see(self, event: Event) -> Event: ...

    def end(self, report: RunReport) -> None: ...


class RunRecorder(Protocol):
    """Writes down one run."""

    def begin(self, options: AnswerOptions) -> None: ...

    def gateway_bytes(self, data: bytes) -> None: ...

    def client_bytes(self, data: bytes) -> None: ...

    def body(self, status: int, data: bytes) -> None: ...

    def end(self, word: str) -> None: ...


class Traffic:
    """Runs of this process that are not over."""

    def __init__(self) -> None:
        self.waiting = 0
        """For the run before in the same session, or for their turn."""
        self.running = 0


class Source(Protocol):
    """The run, as far as it is reported."""

    @property
    def sent(self) -> int:
        """Bytes of the turn."""

    @property
    def received(self) -> int:
        """Bytes of the gateway's answer."""

    @property
    def execution(self) -> str:
        """The agent's own name for the run."""

    @property
    def upstream_request_id(self) -> str: ...


class Translated(Protocol):
    """What a translator knows at the end."""

    ticks: int
    finish_reason: FinishReason | None
    usage: Usage | None


class Encoded(Protocol):
    @property
    def chunks(self) -> int:
        """That were made."""


class RunReport:
    """One request for a run, from its arrival to the end of its answer."""

    __slots__ = (
        "_arrived",
        "_encoder",
        "_phase",
        "_queued",
        "_source",
        "_traffic",
        "_translator",
        "added_before",
        "added_to_first",
        "began",
        "called",
        "chunks",
        "client",
        "duration",
        "error_type",
        "execution",
        "finish_reason",
        "first_event",
        "first_sent",
        "headers",
        "is_retry",
        "key_name",
        "model",
        "operation",
        "outcome",
        "read",
        "received_bytes",
        "recording",
        "request_id",
        "requested_bytes",
        "sent_bytes",
        "session",
        "status",
        "stream",
        "ticks",
        "trace",
        "trace_id",
        "turn_bytes",
        "upstream_request_id",
        "usage",
        "waited",
        "watch",
    )

    def __init__(self, operation: str, traffic: Traffic) -> None:
        """`operation`: `chat` or `text_completion`, as OpenTelemetry calls them."""
        self.operation = operation
        self.began = perf_counter()
        self._traffic = traffic
        # moving
        self.request_id = self.client = self.key_name = "-"
        self.is_retry = False
        """The client says that it sends the request once more."""
        self.model = UNKNOWN
        """As the client calls it."""
        self.stream = False
        self.session = ""
        """The gateway's name for it: a client's own is only known as a keyed hash."""
        self.headers: Mapping[str, str] = {}
        """What the gateway is sent along with the run."""
        self.watch: Callable[[Event], Event] | None = None
        """Is shown every event of the run and hands it on, if somebody wants to see them."""
        self.trace_id = ""
        self.trace: RunTracer | None = None
        self.recording: RunRecorder | None = None
        """Who records the run, if runs are recorded."""
        self.read = self.called = 0.0
        self.waited = 0.0
        self.first_event: float | None = None
        self.first_sent: float | None = None
        self.added_before: float | None = None
        """Seconds that this proxy alone took from the whole request to its call of the gateway."""
        self.added_to_first: float | None = None
        """Seconds that it took from the read that brought the first token to the write that sent it."""
        self.requested_bytes = self.sent_bytes = 0
        self._source: Source | None = None
        self._translator: Translated | None = None
        self._encoder: Encoded | None = None
        self._phase = ARRIVED
        self._queued = self._arrived = 0.0
        self.status = 0
        self.outcome = self.error_type = ""

    # the moments

    def note_body(self, size: int) -> None:
        """The request is there, with so many bytes."""
        self.requested_bytes = size
        self.read = perf_counter()

    def note_request(self, model: str, *, stream: bool) -> None:
        self.model = model
        self.stream = stream

    def note_wait(self) -> None:
        """It waits for its turn."""
        self._queued = perf_counter()
        self._traffic.waiting += 1
        self._phase = WAITING

    def note_turn(self, session: str) -> None:
        """It is its turn, in this session."""
        if self._phase == WAITING:
            self._traffic.waiting -= 1
            self.waited = perf_counter() - self._queued
        self.session = session
        self._traffic.running += 1
        self._phase = RUNNING

    def note_run(self, source: Source) -> None:
        self._source = source

    def note_call(self, translator: Translated, encoder: Encoded | None = None) -> None:
        """The gateway is called now. `encoder`: of a streamed answer."""
        self._translator, self._encoder = translator, encoder
        self.called = perf_counter()
        self.added_before = self.called - self.read - self.waited

    def note_read(self, arrived: float) -> None:
        """Something of the run is read, that came then."""
        if self.first_event is None:
            self.first_event = arrived
        self._arrived = arrived

    def note_sent(self) -> None:
        """What was made of the last read is sent; the first time counts."""
        if self.first_sent is None:
            self.first_sent = perf_counter()
            self.added_to_first = self.first_sent - self._arrived

    def fail(self, error: Exception) -> None:
        """The first failure is the one that counts."""
        if not self.outcome:
            self.outcome, self.error_type, self.status = outcome_of(error), error_type(error), status_of(error)

    def note_client_gone(self) -> None:
        if not self.outcome:
            self.outcome = self.error_type = CLIENT_GONE
            self.status = CLIENT_CLOSED_REQUEST

    def end(self, *, sent: int, status: int = 0) -> None:
        """There is no more to come. What is counted of a run can be read from here on.

        `sent`: bytes that went to the client, headers included. `status`: of the answer, if there is a whole one.
        """
        self.duration = perf_counter() - self.began
        self.outcome = self.outcome or SUCCESS
        self.sent_bytes = sent
        self.status = status or (200 if sent else self.status)
        if self._phase == WAITING:
            self._traffic.waiting -= 1
        elif self._phase == RUNNING:
            self._traffic.running -= 1
        self._phase = OVER
        self._fetch()

    def _fetch(self) -> None:
        """What others have counted: every observer reads it."""
        translator, encoder, source = self._translator, self._encoder, self._source
        self.usage: Usage | None = translator.usage if translator is not None else None
        self.ticks = translator.ticks if translator is not None else 0
        reason = translator.finish_reason if translator is not None and self.outcome == SUCCESS else None
        self.finish_reason = reason.value if reason is not None else ""
        """Empty if the answer has no end of its own."""
        self.chunks = encoder.chunks if encoder is not None else 0
        self.turn_bytes = source.sent if source is not None else 0
        self.received_bytes = source.received if source is not None else 0
        self.execution = source.execution if source is not None else ""
        self.upstream_request_id = source.upstream_request_id if source is not None else ""


Observer = Callable[[RunReport], None]
