"""Collects one run for the inspector, within an allowance of memory.

Each read and each write is one item. Bytes are copied, split and translated only when a reader asks for the run.
"""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any, NamedTuple

from ...api.protocol import ClientApi
from ...core.answer_options import AnswerOptions
from ...core.errors import ProxyError
from ...core.redaction import redact
from ..observability.run_recorder import ReadLog, RunRecorder
from ..observability.run_report import Phase, RunReport, RunSummary

ITEM_BYTES = 200
"""Memory of a read or a mark beside its bytes, as CPython counts it: numbers, the heads of bytes, places in a list."""

MAX_UNCOUNTED = 16 * 1024
"""Bytes of the agent that may be uncounted, with ITEM_BYTES for each of their reads and the bytes for the client. To
count each read costs too much."""
AHEAD = 4
"""Memory that is requested for each uncounted byte of the agent, since it also becomes bytes for the client."""

MARSHAL_VERSION = 2
"""A version of `marshal` that writes an object at every place where it stands, not a reference to the first."""

MAX_CAUSES = 5
"""Causes of an error that are shown."""

Item = tuple[float, str, bytes]
"""`time.perf_counter()`; `native`, `client`, `body`, `run`, `ping`, `slow`, `quick` or `moment`; the bytes."""


class Place(NamedTuple):
    """The position of a reader in a run. `time`: of the last entry."""

    moment: int = 0
    read: int = 0
    time: float = 0.0


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
    reads: list[bytes] = field(default_factory=list)
    """The reads of the agent's stream."""
    moments: list[float | bytes | Item] = field(default_factory=list)
    """What happened, in its order: a number is the time of the next one of `reads`; bytes are for the client, at the
    time of the read or of the mark before; and marks. A tuple for each read would cost the garbage collector more."""
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
    _counted: tuple[int, int] = (0, 0)
    """Numbers of `reads` and of `moments` that were counted."""
    _kept: tuple[list[bytes], list[float | bytes | Item]] | None = None
    """`reads` and `moments` before the run was cut."""

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
        self.reads.append(data)
        self.moments.append(perf_counter())
        self._take(len(data))

    @property
    def read_log(self) -> ReadLog:
        return self

    @property
    def client_bytes(self) -> Callable[[bytes], None]:
        """A bound list.append, not a Python function: the bytes are counted with the next batch of reads."""
        return self.moments.append

    def ping(self, data: bytes) -> None:
        self._add("ping" if data else "moment", data)

    def client_slow(self, slow: bool) -> None:
        self._add("slow" if slow else "quick", b"")

    def body(self, status: int, data: bytes) -> None:
        self._add("body", data)

    def fail(self, error: Exception) -> None:
        self.failure = describe(error)

    # the whole

    def add(self, mark: Item) -> None:
        """Adds a mark whose memory was taken, or need not be."""
        self.moments.append(mark)
        self._counted = len(self.reads), len(self.moments)

    def finish(self, run: RunSummary) -> None:
        """Ends the run, and drops references to the request's objects."""
        self._take(0)
        shown = {each.name: getattr(run, each.name) for each in fields(RunSummary) if each.name != "trace"}
        self.summary = RunSummary(**shown)
        self.report = self.task = None
        self._left = 0

    def entries(self, place: Place = START) -> tuple[list[Item], Place]:
        """The entries from this place on, in their order, and the next place."""
        reads, moments = self._kept or (self.reads, self.moments)
        moment, read, time = place
        found: list[Item] = []
        for each in moments[moment:]:
            if isinstance(each, bytes):
                found.append((time, "client", each))
                continue
            if isinstance(each, float):
                each, read = (max(time, each), "native", reads[read]), read + 1
            found.append(each)
            time = each[0]
        return found, Place(max(moment, len(moments)), read, time)

    def drop(self) -> int:
        """Drops all bytes. Returns the number of bytes that had been granted."""
        self._forget()
        self._kept = None
        self.turns.clear()
        self.sent = b""
        self.is_dropped = True
        held, self.held = self.held, 0
        return held

    # memory

    def count(self, size: int) -> int:
        if self._take(size) and self._left < AHEAD * MAX_UNCOUNTED:
            granted = self.grant(self)
            self.held += granted
            self._left += granted
        return MAX_UNCOUNTED if self.is_cut else min(self._left // AHEAD, MAX_UNCOUNTED)

    def _add(self, kind: str, data: bytes) -> None:
        if self._take(len(data) + ITEM_BYTES):
            self.add((perf_counter(), kind, data))

    def _take(self, size: int) -> bool:
        """Requests memory for `size` bytes and the uncounted ones. False: it was not granted, and the run stays cut."""
        if not self.is_cut:
            self._left -= size + self._take_off()
            while self._left < 0 and not self.is_cut:
                granted = self.grant(self)
                self.held += granted
                self._left += granted
                if not granted:
                    self._cut()
        if self.is_cut:
            self._forget()
        self._counted = len(self.reads), len(self.moments)
        return not self.is_cut

    def _take_off(self) -> int:
        """The memory of what was not counted yet, without the bytes of the agent, which a connection counts."""
        read, moment = self._counted
        reads = len(self.reads) - read
        return _size_of(self.moments, moment, reads) + ITEM_BYTES * reads

    def _cut(self) -> None:
        """Keeps only the counted reads and moments."""
        self.is_cut = True
        read, moment = self._counted
        self._kept = self.reads[:read], self.moments[:moment]

    def _forget(self) -> None:
        self.reads.clear()
        self.moments.clear()
        self._counted = 0, 0


def _size_of(moments: list[Any], start: int, reads: int) -> int:
    """The size of the bytes among the moments from `start` on, or a little more. `reads`: the number of times in them.

    If times and writes alternate, one join finds it: `sum(map(len, …))` would cost twice as much.
    """
    others = len(moments) - start - reads
    if not others:
        return 0
    writes = moments[start + isinstance(moments[start], float) :: 2]
    try:
        if len(writes) == others:
            return len(b"".join(writes))
    except TypeError:  # there are marks among them
        pass
    return len(marshal.dumps(moments[start:], MARSHAL_VERSION))


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
