"""Finds which frame of the agent became which event of the client in a recorded run.

The frames are translated again, one by one. The events that the current code makes of a frame are matched with the
recorded events, in order.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ..api.protocol import ClientApi
from ..core.answer import Envelope
from ..core.answer_options import AnswerOptions
from ..core.errors import ProxyError
from ..core.events import Event
from ..dialects.protocol import Reader
from ..dialects.registry import DIALECTS
from .pipeline import MAX_FRAME, Pipeline
from .time_line import TimeLine

ENVELOPE = Envelope("inspected", 0, "inspected")
"""The envelope of events that are made again only to be counted."""

HEAD = 4096
"""Bytes of a frame or an event that are kept for display."""

_BLOCK_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")

Use = Literal["sent", "read", "skipped", "late"]
"""What a frame became: `sent`, client events; `read`, agent events that the client does not see; `skipped`, nothing;
`late`: it came after the end of the answer."""


class Blocks:
    """Cuts an event stream into whole events, as bytes. `feed()` returns those that each read completes."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[bytes]:
        tail = self._rest[-1][-3:] if self._rest else b""
        if not _BLOCK_END.search(tail + data):
            if data:
                self._rest.append(data)
            return
        whole = b"".join((*self._rest, data))
        place = 0
        for end in _BLOCK_END.finditer(whole):
            yield whole[place : end.end()]
            place = end.end()
        self._rest = [whole[place:]] if place < len(whole) else []

    def flush(self) -> bytes:
        """The rest: an event without an end."""
        rest = b"".join(self._rest)
        self._rest.clear()
        return rest


@dataclass(slots=True)
class RecordedFrame:
    number: int
    ms: float
    """Since the request came."""
    size: int
    head: bytes
    use: Use
    kinds: tuple[str, ...]
    """Names of the neutral events that the frame was read as."""


@dataclass(slots=True)
class ClientEvent:
    number: int
    ms: float
    size: int
    head: bytes
    frame: int | None
    """The number of the frame from which the event was made; None if there was no frame yet."""


class ExpectedEvents(NamedTuple):
    """The number of client events that the current code makes of one frame."""

    frame: int | None
    events: int


@dataclass(slots=True)
class _Run:
    """The translation of one stream of the agent."""

    pipeline: Pipeline
    activity: Reader
    """A second reader, which also reads the calls of the agent's own tools."""
    blocks: Blocks = field(default_factory=Blocks)
    broken: bool = False
    """The second reader has failed."""


class Correlator:
    """Receives the entries of a recording in their order, and fills `frames`, `events` and `time_line`."""

    def __init__(self, api: ClientApi, options: AnswerOptions) -> None:
        self._options = replace(options, stream=True)  # a JSON body is made from the same frames
        self._dialect = DIALECTS[options.dialect]
        self._api = api
        # state
        self.frames: list[RecordedFrame] = []
        self.events: list[ClientEvent] = []
        self.time_line = TimeLine(self._dialect.child_starts)
        self._run: _Run | None = None
        self._sent_blocks = Blocks()
        self._expected: deque[ExpectedEvents] = deque()
        self._ending: int | None = None
        """The frame that ended the answer."""

    def native(self, ms: float, data: bytes) -> None:
        """One read of the agent's stream."""
        if self._run is None:
            self._run = self._begin(data)
        for block in self._run.blocks.feed(data):
            self._add_frame(self._run, ms, block)

    def restart(self, ms: float) -> None:
        """The agent's stream has ended, and the run continues in another stream."""
        if self._run is not None:
            self._end_stream(self._run, ms)
            self._ending = None
            self._expect(self._run.pipeline.restart(""))
            self._run.activity = self._new_reader("")

    def client(self, ms: float, data: bytes) -> None:
        """One write of a streamed answer."""
        if self._run is None:
            self._run = self._begin(b"")
        self._expect(self._run.pipeline.open())
        for block in self._sent_blocks.feed(data):
            self._add_event(ms, block)

    def body(self, ms: float, data: bytes) -> None:
        """An answer that was sent as one JSON body; it belongs to the frame that ended it."""
        self._expected.clear()
        self._add_event(ms, data)

    def end(self, ms: float) -> None:
        """The end of the recording."""
        if self._run is not None:
            self._end_stream(self._run, ms)
        if rest := self._sent_blocks.flush():
            self._add_event(ms, rest)
        self.time_line.end(ms)

    def _begin(self, first_read: bytes) -> _Run:
        run_id = self._dialect.find_run_id(first_read)
        pipeline = Pipeline(self._api, self._options, ENVELOPE, run_id=run_id)
        return _Run(pipeline, self._new_reader(run_id))

    def _new_reader(self, run_id: str) -> Reader:
        return self._dialect.new_reader(
            max_frame=MAX_FRAME, include_tool_activity=True, resumed=self._options.resumed, run_id=run_id
        )

    def _add_frame(self, run: _Run, ms: float, block: bytes) -> None:
        is_late = run.pipeline.is_over
        self._expect(run.pipeline.feed(block), frame=len(self.frames))
        if run.pipeline.is_over and not is_late:
            self._ending = len(self.frames)
        seen = self._read(run, block)
        is_sent = bool(self._expected) and self._expected[-1].frame == len(self.frames)
        use: Use = "sent" if is_sent else "late" if is_late else "read" if seen else "skipped"
        head, kinds = block[:HEAD], tuple(dict.fromkeys(type(event).__name__ for event in seen))
        self.frames.append(RecordedFrame(len(self.frames), ms, len(block), head, use, kinds))
        self.time_line.add(ms, len(self.frames) - 1, seen, head)

    def _read(self, run: _Run, block: bytes | None) -> list[Event]:
        """The events of a frame, by the second reader. `block`: None for the end of the stream."""
        found: list[Event] = []
        if not run.broken:
            try:
                found.extend(run.activity.flush(at_end=True) if block is None else run.activity.feed(block))
            except ProxyError:
                run.broken = True
        return found

    def _end_stream(self, run: _Run, ms: float) -> None:
        if rest := run.blocks.flush():
            self._add_frame(run, ms, rest)
        self._expect(run.pipeline.close())
        self.time_line.add(ms, max(len(self.frames) - 1, 0), self._read(run, None), b"")

    def _expect(self, data: bytes, frame: int | None = None) -> None:
        """Queues the events in `data` as made from `frame`, by default from the frame that `_last` returns."""
        if count := sum(1 for _ in Blocks().feed(data)):
            self._expected.append(ExpectedEvents(self._last() if frame is None else frame, count))

    def _last(self) -> int | None:
        """The frame that ended the answer, else the last frame so far."""
        if self._ending is not None:
            return self._ending
        return len(self.frames) - 1 if self.frames else None

    def _add_event(self, ms: float, block: bytes) -> None:
        frame = self._next_frame()
        self.events.append(ClientEvent(len(self.events), ms, len(block), block[:HEAD], frame))

    def _next_frame(self) -> int | None:
        """The frame of the next recorded event; if no event is queued, the frame that `_last` returns."""
        if not self._expected:
            return self._last()
        frame, left = self._expected.popleft()
        if left > 1:
            self._expected.appendleft(ExpectedEvents(frame, left - 1))
        return frame
