"""Which of the runs on one stream is the answer, and when it has said its last word.

Source: AG-UI 1.1, "Several runs on one stream" and "After a run closes". A producer may replay the runs of a thread
before the wanted one, which carries the `runId` of the request; only that one is the answer. A run under another name
may be a replay, or the wanted one of a producer that names its runs itself: it is held until that is known. The end
of the stream is the last word: `RUN_ERROR` after `RUN_FINISHED` is a failure.
"""

from __future__ import annotations

from ...core.errors import UpstreamError
from ...core.events import Event, RunStarted, TickStarted
from .endings import read_error
from .fields import Data
from .run import RunEvents

LAST_WORD_WAIT = 1.0
"""Seconds for the end of the stream, or a late failure, after the wanted run has finished."""

NEXT_RUN_WAIT = 5.0
"""Seconds for the next run, after one under another name has finished."""

REPLAY_WAIT = 0.5
"""Seconds for a replay, which comes all at once: a run under another name that takes longer is the wanted one."""

MOST_HELD = 1024 * 1024
"""Characters that are held of a run under another name; then it counts as the wanted one."""

_HARMLESS = frozenset({"TEXT_MESSAGE_END", "TOOL_CALL_END", "REASONING_MESSAGE_END", "THINKING_TEXT_MESSAGE_END"})
"""What says nothing new, so that it may come behind the end of its run."""


class Runs:
    """Takes the events of a stream. Methods return the events that can be told now, and raise UpstreamError."""

    def __init__(self, run_id: str, *, with_deeds: bool) -> None:
        """`run_id`: of the request; empty if it is not known, then the last run is the answer."""
        self._wanted_id = run_id
        self._with_deeds = with_deeds
        # moving
        self.run = RunEvents(with_deeds=with_deeds)
        self.number = 0
        """Of the run, on this stream."""
        self._run_id: str | None = None
        self._is_wanted = True
        """The run of now, or one that has no beginning."""
        self._is_behind = False
        """The wanted run has finished, and another one has begun."""
        self._is_active = False
        self._held: list[Event] | None = None
        """Of a run that may be a replay."""
        self._held_size = 0
        self._has_told = False
        """Something of a run under another name was told."""
        self._ending: list[Event] | None = None
        """Of the run that has ended; told when nothing has taken it back."""
        self._is_over = False

    @property
    def over(self) -> bool:
        """The agent has said what may be its last word."""
        return self._is_over or self._ending is not None

    @property
    def wait(self) -> float | None:
        """Seconds until what was said counts, if nothing takes it back; None: only more of the stream can tell."""
        if self._ending is not None:
            return LAST_WORD_WAIT if self._is_wanted or self._has_told else NEXT_RUN_WAIT
        return REPLAY_WAIT if self._held is not None else None

    def start(self, run_id: str) -> list[Event]:
        if self._is_active and run_id == self._run_id:
            return []  # said twice
        if self._is_active or (self._run_id is None and not self.run.is_silent):
            raise UpstreamError("The agent began a run before it had ended another.")
        is_wanted = bool(run_id) and run_id == self._wanted_id
        if self._ending is not None and self._is_wanted and self._run_id is not None:
            return self._go_on(run_id) if is_wanted else self._ignore()
        if self._has_told:
            raise UpstreamError("The agent began another run after the one that was taken for the answer.")
        self._run_id, self._is_wanted, self._is_active = run_id, is_wanted, True
        self.number += 1
        self._ending, self.run = None, RunEvents(with_deeds=self._with_deeds)
        self._held, self._held_size = None if is_wanted else [], 0
        return [RunStarted()]

    def read(self, name: str, data: Data) -> list[Event]:
        if self._is_behind:
            return []
        if self._ending is not None:
            if name in _HARMLESS:
                return []
            raise UpstreamError(f"The agent sent a {name} event after the end of its run.")
        return self._hold(self.run.read(name, data))

    def add_plain_text(self, message_id: object, delta: object) -> tuple[Event] | None:
        """The short way for what most of a stream is; None if it has to be checked and read."""
        if self._held is not None or not self._is_active or type(delta) is not str or type(message_id) is not str:
            return None
        return self.run.add_plain_text(message_id, delta)

    def finish(self, data: Data) -> list[Event]:
        """`RUN_FINISHED`."""
        if not self._is_behind and self._ending is None:
            self._is_active, self._ending = False, self.run.finish(data)
        return []

    def fail(self, data: Data) -> list[Event]:
        """`RUN_ERROR`: the last word on the wanted run, and on another one if nothing follows."""
        if self._is_behind:
            return []
        failed: list[Event] = [*self.run.fail(), read_error(data)]
        self._is_active = False
        if self._is_wanted or self._has_told:
            self._is_over, self._ending = True, None
            return failed
        self._ending = failed
        return []

    def settle(self, *, at_end: bool) -> list[Event]:
        """The stream is at its end, or has been silent for `wait`: what was said counts."""
        if self._ending is None and at_end:
            return []  # it was cut off
        told, self._held = self._held or [], None
        self._has_told = not self._is_wanted
        if self._ending is not None:
            told, self._ending, self._is_over = told + self._ending, None, True
        return told

    def _go_on(self, run_id: str) -> list[Event]:
        """The wanted run goes on after all."""
        self._is_active, self._is_behind, self._ending = True, False, None
        self.run = RunEvents(with_deeds=self._with_deeds)
        return [TickStarted()]

    def _ignore(self) -> list[Event]:
        self._is_behind = True
        return []

    def _hold(self, events: list[Event]) -> list[Event]:
        if self._held is None:
            return events
        self._held += events
        self._held_size += sum(map(_size, events))
        return self.settle(at_end=False) if self._held_size > MOST_HELD else []


def _size(event: Event) -> int:
    """Characters, and something for the event itself."""
    return 100 + sum(len(each) for each in event if isinstance(each, str))
