"""Reads an AG-UI agent's response to a run into neutral events.

Source: AG-UI 1.1 (`ag-ui-protocol`), and the older forms of producers of versions 0.x.

A frame is `{"type":NAME,…}`; unknown names are skipped. State, activity, step, raw and most custom events have no place
in an answer and are dropped by NAME, without decoding. So are tool results, unless they are shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ...core.errors import UpstreamError
from ...core.events import Event
from ...core.sse import LINE_SIZE, PEEK_BYTES, Frame, FrameReader, Kept
from .event_names import AGENT_STOPPED, ON_INTERRUPT, call_id_of, custom_name_of, name_of, run_id_of
from .fields import Data, text_of
from .frames import decode
from .run import RUN_EVENTS
from .runs import Runs
from .schema import check


class EventReader:
    """Reads one response. `feed()` returns the events that each read completes; call `flush()` at the end."""

    execution_id = ""
    """Always empty: the request has chosen the run's id."""

    def __init__(self, *, max_frame: int, include_tool_activity: bool = False, run_id: str = "") -> None:
        """`max_frame`: bytes of a frame that has to be decoded, at most.

        `include_tool_activity`: with the agent's own tools and sub-agents. `run_id`: of the request; empty if unknown.
        """
        self._limit = max_frame - PEEK_BYTES
        self._include_tool_activity = include_tool_activity
        self._frames = FrameReader(max_frame=max_frame, frame_filter=self._filter)
        self._runs = Runs(run_id, include_tool_activity=include_tool_activity)

    @property
    def finished(self) -> bool:
        return self._runs.finished

    @property
    def flush_delay(self) -> float | None:
        return self._runs.flush_delay

    @property
    def flush_count(self) -> int:
        return self._runs.number

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end within `data`, lazily, so that events before an error are not lost.

        Raises UpstreamError for a malformed or too long frame.
        """
        for frame in self._frames.feed(data):
            yield from self._read(frame)

    def feed_chunks(self, chunks: list[bytes]) -> Iterator[Event]:
        """`feed` for bytes that came in these HTTP chunks."""
        return self.feed(b"".join(chunks))

    def flush(self, *, at_end: bool) -> Sequence[Event]:
        """The buffered events. At the end of the stream a last frame without its empty line counts, if it is whole.

        Server-sent events discard it; the official client does not.
        """
        events: list[Event] = []
        if at_end:
            with contextlib.suppress(UpstreamError):  # the frame was cut
                for frame in self._frames.end():
                    events += () if frame.truncated else self._read(frame)
        return [*events, *self._runs.flush(at_end=at_end)]

    def _filter(self, head: bytes) -> Kept | None:
        """Decides from the first bytes of a frame how much of it to keep."""
        name = name_of(head)
        if name is None:
            return Kept(None)
        if name in _WHOLE_EVENTS and (
            name != b"TOOL_CALL_RESULT" or self._include_tool_activity or call_id_of(head) is None
        ):
            return _WHOLE_EVENTS[name]
        if name == b"TOOL_CALL_RESULT":
            return Kept("TOOL_CALL_RESULT", PEEK_BYTES)
        if name == b"RUN_STARTED":  # it may contain the whole request
            return Kept("RUN_STARTED", None if run_id_of(head) is None else PEEK_BYTES)
        if name == b"MESSAGES_SNAPSHOT" and self._runs.run.wants_snapshot:
            return Kept("MESSAGES_SNAPSHOT", self._limit)
        if name == b"CUSTOM":
            return self._filter_custom(custom_name_of(head))
        return None

    def _filter_custom(self, name: bytes | None) -> Kept | None:
        if name is None:  # LangGraph writes the name after a long value
            return Kept("CUSTOM", self._limit)
        return Kept("CUSTOM") if name.decode("utf-8", "replace") in _READ_CUSTOMS else None

    def _read(self, frame: Frame) -> Sequence[Event]:
        if frame.tag == "MESSAGES_SNAPSHOT":
            self._runs.run.keep_snapshot(None if frame.truncated else frame.data)
            return ()
        if frame.truncated:
            return self._read_truncated(frame)
        if frame.tag is None and frame.data == b"[DONE]" and self.finished:  # of servers that serve OpenAI's API, too
            return ()
        data = decode(frame.data)
        if frame.tag == "TEXT_MESSAGE_CONTENT" and len(data) == 3:
            events = self._runs.add_plain_text(data.get("messageId"), data.get("delta"))
            if events is not None:
                return events
        name: str = data["type"]
        if name == "MESSAGES_SNAPSHOT" and self._runs.run.wants_snapshot:  # its type does not come first
            self._runs.run.keep_snapshot(frame.data)
        if name not in _READ_EVENTS:
            return ()
        try:
            check(name, data)
            if name == "CUSTOM" and data["name"] not in _READ_CUSTOMS:
                return ()  # its name did not come first
            return self._dispatch(name, data)
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None

    def _read_truncated(self, frame: Frame) -> Sequence[Event]:
        """Reads a frame of which only the first bytes were kept."""
        if frame.tag == "RUN_STARTED":
            return self._runs.start(run_id_of(frame.data) or "")
        if frame.tag == "TOOL_CALL_RESULT":
            return self._runs.read(frame.tag, {"toolCallId": call_id_of(frame.data)})
        return ()

    def _dispatch(self, name: str, data: Data) -> Sequence[Event]:
        if name in RUN_EVENTS:
            return self._runs.read(name, data)
        if name == "RUN_FINISHED":
            return self._runs.finish(data)
        if name == "RUN_ERROR":
            return self._runs.fail(data)
        return self._runs.start(data["runId"])


_READ_CUSTOMS = frozenset({ON_INTERRUPT, AGENT_STOPPED})
"""Names of `CUSTOM` events that are read."""

_READ_EVENTS = RUN_EVENTS | {"RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"}

_WHOLE_EVENTS = {name.encode(): Kept(name) for name in _READ_EVENTS - {"RUN_STARTED", "CUSTOM"}}


def find_last_run(stream: bytes) -> str:
    """The id of the last run of a complete stream, which is the run of the request; empty if there is none."""
    frames = FrameReader(
        max_frame=len(stream) * LINE_SIZE,
        frame_filter=lambda head: _KEEP_WHOLE if name_of(head) in _POSSIBLE_STARTS else None,
    )
    run_id = ""
    for frame in frames.feed(stream):
        try:
            data = decode(frame.data)
        except UpstreamError:
            continue
        if data["type"] == "RUN_STARTED":
            run_id = text_of(data, "runId") or run_id
    return run_id


_KEEP_WHOLE = Kept(None)
_POSSIBLE_STARTS = (b"RUN_STARTED", None)
