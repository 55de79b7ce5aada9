"""The time line of a run: spans of ticks, reasoning, text, tool calls and child agents, and single moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.events import (
    ConfirmationRequired,
    Event,
    MessageCompleted,
    ModelFailed,
    ReasoningDelta,
    RunEnded,
    RunFailed,
    SubagentFinished,
    TextDelta,
    TextDeltas,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
)

Lane = Literal["tick", "reasoning", "text", "call", "tool", "child", "failure", "question"]

MAX_SPANS = 2000
"""Spans of one run; later ones are left out."""

NAME_BYTES = 256
"""Bytes at the start of a frame that are searched for the name of its event."""


@dataclass(slots=True)
class Span:
    """`ms` and `end`: milliseconds since the request arrived; `end` is None while the span goes on."""

    lane: Lane
    name: str
    begin: float
    end: float | None
    frame: int
    """The number of the frame with which it begins."""
    failed: bool = False


class TimeLine:
    """Reads the events of one run, frame by frame."""

    def __init__(self, child_starts: frozenset[bytes]) -> None:
        """`child_starts`: names of the events that begin a child agent, for which there is no neutral event."""
        self._child_starts = [b'"%b"' % name for name in sorted(child_starts)]
        # state
        self.spans: list[Span] = []
        self._ticks = 0
        self._has_text = False
        """Whether the tick has text."""
        self._calls: set[str] = set()
        self._tick: Span | None = None
        self._writing: Span | None = None
        """The span of the text, reasoning or call that the model is writing."""
        self._tools: dict[str, Span] = {}
        self._children: list[Span] = []

    def add(self, ms: float, frame: int, events: Sequence[Event], head: bytes) -> None:
        """Adds the events of one frame. `head`: the frame's first bytes."""
        if not events and any(name in head[:NAME_BYTES] for name in self._child_starts):
            self._children.append(self._open("child", "", ms, frame))
        for event in events:
            self._on_event(ms, frame, event)

    def end(self, ms: float) -> None:
        """The run is over."""
        for span in self.spans:
            if span.end is None:
                span.end = ms

    def _on_event(self, ms: float, frame: int, event: Event) -> None:
        match event:
            case TextDelta() | TextDeltas():
                self._write("text", "", ms, frame)
            case MessageCompleted(text=text) if text and not self._has_text:
                self._write("text", "", ms, frame)
            case ReasoningDelta():
                self._write("reasoning", "", ms, frame)
            case ToolCallStarted(call_id, name) | ToolCalled(call_id, name) if call_id not in self._calls:
                self._calls.add(call_id)
                self._writing = None
                self._write("call", name, ms, frame)
            case ToolCallStarted() | ToolCallDelta() | ToolCalled() | ToolCallEnded() | MessageCompleted():
                if self._writing is not None and self._writing.lane == "call":
                    self._writing.end = ms
            case _:
                self._writing = None
                self._on_step(ms, frame, event)

    def _write(self, lane: Lane, name: str, ms: float, frame: int) -> None:
        """Extends the span of the model's output, or begins another one."""
        if self._writing is None or (self._writing.lane, self._writing.name) != (lane, name):
            self._writing = self._open(lane, name, ms, frame)
        self._writing.end = ms
        self._has_text = self._has_text or lane == "text"

    def _on_step(self, ms: float, frame: int, event: Event) -> None:
        match event:
            case TickStarted():
                self._begin_tick(ms, frame)
            case TickEnded():
                self._end(self._tick, ms)
                self._tick = None
            case ToolStarted(call_id=call_id, name=name):
                self._tools[call_id] = self._open("tool", name, ms, frame)
            case ToolFinished():
                self._end_tool(ms, frame, event)
            case SubagentFinished(name=name, is_error=failed):
                span = self._children.pop() if self._children else self._open("child", name, ms, frame)
                span.name = span.name or name
                self._end(span, ms, failed=failed)
            case RunEnded() | RunFailed() | ModelFailed() | ConfirmationRequired():
                self._on_end(ms, frame, event)

    def _on_end(self, ms: float, frame: int, event: Event) -> None:
        if isinstance(event, ConfirmationRequired):
            self._end(self._open("question", event.name, ms, frame), ms)
        elif not isinstance(event, RunEnded):
            self._end(self._open("failure", type(event).__name__, ms, frame), ms, failed=True)
        if isinstance(event, RunEnded | RunFailed):
            self._end_all([self._tick, *self._tools.values(), *self._children], ms)

    def _begin_tick(self, ms: float, frame: int) -> None:
        self._end(self._tick, ms)
        self._ticks += 1
        self._has_text = False
        self._tick = self._open("tick", f"tick {self._ticks}", ms, frame)

    def _end_tool(self, ms: float, frame: int, event: ToolFinished) -> None:
        span = self._tools.pop(event.call_id, None)
        if span is None:
            begin = ms - 1000 * event.seconds if event.seconds else ms
            span = self._open("tool", event.name, max(begin, 0.0), frame)
        self._end(span, ms, failed=event.is_error)

    def _open(self, lane: Lane, name: str, ms: float, frame: int) -> Span:
        span = Span(lane, name, ms, None, frame)
        if len(self.spans) < MAX_SPANS:
            self.spans.append(span)
        return span

    def _end(self, span: Span | None, ms: float, *, failed: bool = False) -> None:
        if span is not None and span.end is None:
            span.end, span.failed = ms, failed

    def _end_all(self, spans: Iterable[Span | None], ms: float) -> None:
        for span in spans:
            self._end(span, ms)
