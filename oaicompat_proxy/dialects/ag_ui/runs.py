"""Finds the run of the request among the runs of one stream, and decides when it has ended.

Source: AG-UI 1.1, "Several runs on one stream" and "After a run closes". A producer may replay earlier runs of the
thread before the wanted run, which has the `runId` of the request. Only the wanted run is the answer. A run with
another id may be a replay, or the wanted run of a producer that chooses run ids itself. Its events are buffered until
it is clear which. Until the stream ends, `RUN_ERROR` after `RUN_FINISHED` makes the run a failure.
"""

from __future__ import annotations

from ...core.errors import UpstreamError
from ...core.events import Event, RunStarted, TextDeltas, TickStarted
from .endings import read_error
from .fields import Data
from .run import RunEvents

AFTER_RUN_WAIT = 1.0
"""Seconds to wait for the end of the stream, or a late failure, after the wanted run has finished."""

NEXT_RUN_WAIT = 5.0
"""Seconds to wait for the next run, after a run with another id has finished."""

REPLAY_WAIT = 0.5
"""Seconds to wait for the end of a replay, which is sent at once. A run that takes longer is the wanted one."""

MAX_BUFFERED = 1024 * 1024
"""Characters that are buffered of a run with another id. A longer run is the wanted one."""

_ALLOWED_AFTER_END = frozenset(
    {"TEXT_MESSAGE_END", "TOOL_CALL_END", "REASONING_MESSAGE_END", "THINKING_TEXT_MESSAGE_END"}
)
"""Events without information, which are allowed after the end of their run."""


class Runs:
    """State of the runs of one stream. Methods return the neutral events that are certain, and raise UpstreamError."""

    def __init__(self, run_id: str, *, include_tool_activity: bool) -> None:
        """`run_id`: of the request; if empty, the last run is the answer."""
        self._wanted_id = run_id
        self._include_tool_activity = include_tool_activity
        # state
        self.run = RunEvents(include_tool_activity=include_tool_activity)
        self.number = 0
        """The number of the current run on this stream."""
        self._run_id: str | None = None
        self._is_wanted = True
        """The current run is the wanted one, or has no `RUN_STARTED`."""
        self._is_ignoring = False
        """The wanted run has finished and another one has begun, whose events are ignored."""
        self._is_active = False
        self._buffered: list[Event] | None = None
        """Events of a run that may be a replay."""
        self._buffered_size = 0
        self._has_sent_other = False
        """Events of a run with another id were returned."""
        self._end_events: list[Event] | None = None
        """Events of the end of the run, buffered until nothing can revoke it."""
        self._has_ended = False

    @property
    def finished(self) -> bool:
        """Whether the run has ended; a later event may still make it a failure."""
        return self._has_ended or self._end_events is not None

    @property
    def flush_delay(self) -> float | None:
        """Seconds of silence after which `flush` must be called; None if nothing is buffered."""
        if self._end_events is not None:
            return AFTER_RUN_WAIT if self._is_wanted or self._has_sent_other else NEXT_RUN_WAIT
        return REPLAY_WAIT if self._buffered is not None else None

    def start(self, run_id: str) -> list[Event]:
        if self._is_active and run_id == self._run_id:
            return []  # repeated
        if self._is_active or (self._run_id is None and not self.run.is_silent):
            raise UpstreamError("The agent began a run before it had ended another.")
        is_wanted = bool(run_id) and run_id == self._wanted_id
        if self._end_events is not None and self._is_wanted and self._run_id is not None:
            return self._continue_run(run_id) if is_wanted else self._ignore()
        if self._has_sent_other:
            raise UpstreamError("The agent began another run after the one that was taken for the answer.")
        self._run_id, self._is_wanted, self._is_active = run_id, is_wanted, True
        self.number += 1
        self._end_events, self.run = None, RunEvents(include_tool_activity=self._include_tool_activity)
        self._buffered, self._buffered_size = None if is_wanted else [], 0
        return [RunStarted()]

    def read(self, name: str, data: Data) -> list[Event]:
        if self._is_ignoring:
            return []
        if self._end_events is not None:
            if name in _ALLOWED_AFTER_END:
                return []
            raise UpstreamError(f"The agent sent a {name} event after the end of its run.")
        return self._send_or_buffer(self.run.read(name, data))

    def add_plain_text(self, message_id: object, delta: object) -> tuple[Event] | None:
        """The fast path for a text delta; None if the event has to be checked and read in full."""
        if self._buffered is not None or not self._is_active or type(delta) is not str or type(message_id) is not str:
            return None
        return self.run.add_plain_text(message_id, delta)

    def finish(self, data: Data) -> list[Event]:
        """`RUN_FINISHED`."""
        if not self._is_ignoring and self._end_events is None:
            self._is_active, self._end_events = False, self.run.finish(data)
        return []

    def fail(self, data: Data) -> list[Event]:
        """`RUN_ERROR`: ends the wanted run at once, a run with another id only if no further run follows."""
        if self._is_ignoring:
            return []
        failed: list[Event] = [*self.run.fail(), read_error(data)]
        self._is_active = False
        if self._is_wanted or self._has_sent_other:
            self._has_ended, self._end_events = True, None
            return failed
        self._end_events = failed
        return []

    def flush(self, *, at_end: bool) -> list[Event]:
        """Returns the buffered events: the stream has ended, or was silent for `flush_delay` seconds."""
        if self._end_events is None and at_end:
            return []  # the stream was cut off
        events, self._buffered = self._buffered or [], None
        self._has_sent_other = not self._is_wanted
        if self._end_events is not None:
            events, self._end_events, self._has_ended = events + self._end_events, None, True
        return events

    def _continue_run(self, run_id: str) -> list[Event]:
        """Continues the wanted run, which has begun again after its end."""
        self._is_active, self._is_ignoring, self._end_events = True, False, None
        self.run = RunEvents(include_tool_activity=self._include_tool_activity)
        return [TickStarted()]

    def _ignore(self) -> list[Event]:
        self._is_ignoring = True
        return []

    def _send_or_buffer(self, events: list[Event]) -> list[Event]:
        if self._buffered is None:
            return events
        self._buffered += events
        self._buffered_size += sum(map(_size, events))
        return self.flush(at_end=False) if self._buffered_size > MAX_BUFFERED else []


def _size(event: Event) -> int:
    """Characters of the event, with a fixed cost for the event itself."""
    fields = (event.text,) if isinstance(event, TextDeltas) else event
    return 100 + sum(len(each) for each in fields if isinstance(each, str))
