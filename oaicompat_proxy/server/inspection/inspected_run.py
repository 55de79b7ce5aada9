"""Collects one run for the inspector, within an allowance of memory.

Each read and each write is one item. Bytes are copied, split and translated only when a reader asks for the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any, NamedTuple

from ...api.protocol import ClientApi
from ...core.answer_options import AnswerOptions
from ...core.errors import ProxyError
from ...core.events import Event
from ...core.redaction import redact
from ..observability.run_recorder import Feed, RunRecorder
from ..observability.run_report import Phase, RunReport, RunSummary

ITEM_BYTES = 200
"""Memory of a read or a mark beside its bytes, as CPython counts it: numbers, the heads of bytes, places in a list."""

MAX_CAUSES = 5
"""Causes of an error that are shown."""

Item = tuple[float, str, bytes]
"""`time.perf_counter()`; `native`, `client`, `body`, `run`, `ping`, `slow`, `quick` or `moment`; the bytes."""


class Place(NamedTuple):
    """The position of a reader in a run. `moment`: of the last entry."""

    read: int = 0
    write: int = 0
    moment: float = 0.0


START = Place()

Grant = Callable[["InspectedRun"], int]
"""Gives the run more bytes of memory; 0 if there are none."""


class Failure(NamedTuple):
    """Why an answer failed."""

    kind: str
    code: str
    status: int
    message: str
    causes: tuple[str, ...]


class ClientCall(NamedTuple):
    """The head of a client's request, without credentials."""

    method: str
    url: str
    headers: Mapping[str, str]


class SentTurn(NamedTuple):
    """A request to the agent."""

    path: str
    body: bytes


@dataclass(slots=True, eq=False)
class InspectedRun(RunRecorder):
    """One request for a run, from its arrival until it is dropped."""

    id: str
    api: ClientApi
    call: ClientCall
    arrived: float
    """Unix time in seconds."""
    report: RunReport | None
    """The run's report; None once the run is over."""
    task: asyncio.Task[Any] | None
    grant: Grant
    # state
    summary: RunSummary = field(init=False)
    options: AnswerOptions | None = None
    """Set when the agent is called."""
    reads: list[Any] = field(default_factory=list)
    """The reads of the agent's stream: for each its time, the number of `writes` before it, its bytes. A flat list is
    cheaper than one of tuples, which the garbage collector scans."""
    writes: list[bytes | Item] = field(default_factory=list)
    """Bytes for the client, at the time of the previous read or mark; and marks."""
    sent: bytes = b""
    """The body of the client's request."""
    turns: list[SentTurn] = field(default_factory=list)
    failure: Failure | None = None
    waits_for: str = ""
    held: int = 0
    """Bytes of memory that were granted."""
    is_cut: bool = False
    """The memory did not suffice for the whole run."""
    is_dropped: bool = False
    """Its bytes were dropped for newer runs."""
    _left: int = 0
    _counted: int = 0
    """Number of writes whose bytes were counted."""
    _kept: list[bytes | Item] | None = None
    """The writes before the run was cut."""

    def __post_init__(self) -> None:
        assert self.report is not None
        self.summary = self.report

    @property
    def is_over(self) -> bool:
        return self.report is None

    @property
    def phase(self) -> Phase:
        return self.report.phase if self.report is not None else "over"

    def ms(self, moment: float) -> float:
        """Milliseconds since the request came."""
        return 1000 * (moment - self.summary.began)

    # as RunRecorder

    def request(self, body: bytes) -> None:
        if self._take(len(body)):
            self.sent = body

    def wait_for(self, what: str) -> None:
        self.waits_for = what

    def begin(self, options: AnswerOptions) -> None:
        self.options = options

    def turn(self, path: str, body: bytes) -> None:
        if self._take(len(path) + len(body)):
            self.turns.append(SentTurn(path, body))

    def begin_next_run(self) -> None:
        self._add("run", b"")

    def gateway_bytes(self, data: bytes) -> None:
        if self._take(len(data) + ITEM_BYTES):
            self.reads += (perf_counter(), len(self.writes), data)

    def tap(self, feed: Feed) -> Feed:
        """Like `gateway_bytes`, in one Python call for each read: 2 % of a paced delta instead of 10 %."""
        add, writes = self.reads.append, self.writes

        def feed_tapped(data: bytes) -> Iterable[Event]:
            self._left -= len(data) + ITEM_BYTES
            if self._left >= 0 or self._take(0):
                add(perf_counter())
                add(len(writes))
                add(data)
            return feed(data)

        return feed_tapped

    @property
    def client_bytes(self) -> Callable[[bytes], None]:
        """A bound list.append, not a Python function: the bytes are counted at the next grant."""
        return self.writes.append

    def ping(self, data: bytes) -> None:
        self._add("ping" if data else "moment", data)

    def client_slow(self, slow: bool) -> None:
        self._add("slow" if slow else "quick", b"")

    def body(self, status: int, data: bytes) -> None:
        self._add("body", data)

    def fail(self, error: Exception) -> None:
        self.failure = describe(error)

    # the end

    def finish(self, run: RunSummary) -> None:
        """Ends the run, and drops references to the request's objects."""
        shown = {each.name: getattr(run, each.name) for each in fields(RunSummary) if each.name != "trace"}
        self.summary = RunSummary(**shown)
        self.report = self.task = None
        self._left = 0

    def entries(self, place: Place = START) -> tuple[list[Item], Place]:
        """The entries from this place on, in their order, and the next place."""
        writes = self.writes if self._kept is None else self._kept
        read, write, moment = place
        found: list[Item] = []
        for at in range(read, len(self.reads), 3):
            arrived, before, data = self.reads[at : at + 3]
            moment = _add_writes(found, writes[write:before], moment)
            write, moment = max(write, before), arrived
            found.append((arrived, "native", data))
        moment = _add_writes(found, writes[write:], moment)
        return found, Place(len(self.reads), len(writes), moment)

    def drop(self) -> int:
        """Drops all bytes. Returns the number of bytes that had been granted."""
        self.reads.clear()
        self.writes.clear()
        self._kept = None
        self.turns.clear()
        self.sent = b""
        self.is_dropped = True
        held, self.held = self.held, 0
        return held

    def _add(self, kind: str, data: bytes) -> None:
        if self._take(len(data) + ITEM_BYTES):
            self.writes.append((perf_counter(), kind, data))

    def _take(self, size: int) -> bool:
        """Takes memory for `size` bytes; returns whether there was enough. After a failure the run stays cut."""
        self._left -= size
        if self.is_cut:
            self.writes.clear()
            return False
        if self._left < 0:
            self._left -= sum(map(len, self.writes[self._counted :]))
            self._counted = len(self.writes)
        while self._left < 0 and not self.is_cut:
            granted = self.grant(self)
            self.held += granted
            self._left += granted
            if not granted:
                self._cut()
        return not self.is_cut

    def _cut(self) -> None:
        self.is_cut = True
        self._kept = [*self.writes]
        self.writes.clear()


def _add_writes(found: list[Item], writes: Iterable[bytes | Item], moment: float) -> float:
    """Adds the writes; bytes get the time of the mark before, at first `moment`. Returns the last time."""
    for each in writes:
        if isinstance(each, bytes):
            found.append((moment, "client", each))
        else:
            found.append(each)
            moment = each[0]
    return moment


def describe(error: Exception) -> Failure:
    """Describes an error for the page. Of a bug only the class is named: its text may quote anything."""
    causes: list[str] = []
    cause = error.__cause__
    while cause is not None and len(causes) < MAX_CAUSES:
        causes.append(f"{type(cause).__name__}: {redact(str(cause))}".rstrip(": "))
        cause = cause.__cause__
    if isinstance(error, ProxyError):
        return Failure(type(error).__name__, error.code or "", error.status, error.message, tuple(causes))
    return Failure("InternalError", "", 500, f"A bug of this proxy ({type(error).__name__}); its log has it.", ())
