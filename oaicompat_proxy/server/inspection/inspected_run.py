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
"""Bytes of memory that a read or a mark takes besides its data, for CPython's objects and the entries of lists."""

MAX_UNCOUNTED = 16 * 1024
"""Bytes of the agent after which memory is reserved for them, for the client's bytes that they became, and for the list
entries. It would cost too much at each read."""
AHEAD = 4
"""Bytes that must be left for each byte of the agent that is not counted yet: it also becomes bytes for the client."""

MARSHAL_VERSION = 2
"""A version of `marshal` that writes no references: an object that occurs twice is written twice."""

MAX_CAUSES = 5
"""Causes of an error that are shown, at most."""

Item = tuple[float, str, bytes]
"""`time.perf_counter()`; `native`, `client`, `body`, `run`, `ping`, `slow`, `quick` or `moment`; the bytes."""


class Place(NamedTuple):
    """The position of a reader in a run. `time`: of the last entry."""

    moment: int = 0
    read: int = 0
    time: float = 0.0


START = Place()

Grant = Callable[["InspectedRun"], int]
"""Grants the run more memory. Returns its size in bytes, or 0 if the memory for all runs is used up."""


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
    """What happened, in order. A float is the time of the next entry of `reads`. Bytes were sent to the client, at the
    time of the read or mark before them. A tuple is a mark. Tuples for all would cost the garbage collector more."""
    sent: bytes = b""
    """The body of the client's request."""
    turns: list[SentTurn] = field(default_factory=list)
    failure: Failure | None = None
    waits_for: str = ""
    held: int = 0
    """Bytes of memory that were granted."""
    is_cut: bool = False
    """The granted memory was too small for the run, so its end is missing."""
    is_dropped: bool = False
    """The run's bytes were dropped to make room for newer runs."""
    _left: int = 0
    """Bytes of the granted memory that are not reserved."""
    _counted: tuple[int, int] = (0, 0)
    """Numbers of `reads` and of `moments` for which memory is reserved."""
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
        """Milliseconds from the request's arrival to this moment of `time.perf_counter()`."""
        return 1000 * (moment - self.summary.began)

    # as RunRecorder

    def request(self, body: bytes) -> None:
        if self._reserve(len(body)):
            self.sent = body

    def wait_for(self, what: str) -> None:
        self.waits_for = what

    def begin(self, options: AnswerOptions) -> None:
        self.options = options

    def turn(self, path: str, body: bytes) -> None:
        if self._reserve(len(path) + len(body)):
            self.turns.append(SentTurn(path, body))

    def begin_next_run(self) -> None:
        self._add("run", b"")

    def gateway_bytes(self, data: bytes) -> None:
        self.reads.append(data)
        self.moments.append(perf_counter())
        self._reserve(len(data))

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
        """Adds a mark for which memory is reserved, or not needed."""
        self.moments.append(mark)
        self._counted = len(self.reads), len(self.moments)

    def finish(self, run: RunSummary) -> None:
        """Ends the run, and drops references to the request's objects."""
        self._reserve(0)
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
        if self._reserve(size) and self._left < AHEAD * MAX_UNCOUNTED:
            granted = self.grant(self)
            self.held += granted
            self._left += granted
        return MAX_UNCOUNTED if self.is_cut else min(self._left // AHEAD, MAX_UNCOUNTED)

    def _add(self, kind: str, data: bytes) -> None:
        if self._reserve(len(data) + ITEM_BYTES):
            self.add((perf_counter(), kind, data))

    def _reserve(self, size: int) -> bool:
        """Reserves memory for `size` bytes and for all that is not counted yet.

        Returns False if it is not granted; then the run is cut, and stays so.
        """
        if not self.is_cut:
            self._left -= size + self._uncounted_size()
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

    def _uncounted_size(self) -> int:
        """Bytes of memory that are not reserved yet, without those of the agent's reads: `size` has these."""
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
