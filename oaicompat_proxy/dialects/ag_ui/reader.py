"""What an AG-UI agent says in answer to a run, read into events.

Source: AG-UI 1.1 (`ag-ui-protocol`), and what producers of the 0.x age still write.

A frame is `{"type":NAME,…}`; unknown names are skipped. State, activities, steps, raw and most custom events are of no
use to an OpenAI client and are thrown away by NAME, without decoding; so are results of tools that are not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...core.errors import UpstreamError
from ...core.events import Event
from ...core.sse import HEAD, Frame, FrameReader, Keep
from .event_names import AGENT_STOPPED, ON_INTERRUPT, call_id_of, custom_name_of, name_of, run_id_of
from .fields import Data, text_of
from .frames import decode
from .run import RUN_EVENTS
from .runs import Runs
from .schema import check


class EventReader:
    """Reads one answer: `feed()` bytes as they come, take the events that they complete; at the end `settle()`."""

    execution_id = ""
    """The run is called what the call called it."""

    def __init__(self, *, max_frame: int, with_deeds: bool = False, run_id: str = "") -> None:
        """`max_frame`: bytes of the largest frame that may have to be decoded.

        `with_deeds`: also what the agent's own tools and sub-agents did. `run_id`: of the request; empty if unknown.
        """
        self._limit = max_frame - HEAD
        self._with_deeds = with_deeds
        self._frames = FrameReader(max_frame=max_frame, judge=self._filter)
        self._runs = Runs(run_id, with_deeds=with_deeds)

    @property
    def over(self) -> bool:
        return self._runs.over

    @property
    def wait(self) -> float | None:
        return self._runs.wait

    @property
    def waits(self) -> int:
        return self._runs.number

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end within `data`: lazy, so that those before a fault are not lost with it.

        Raises UpstreamError for a frame that cannot be understood or is too long.
        """
        for frame in self._frames.feed(data):
            yield from self._read(frame)

    def settle(self, *, at_end: bool) -> Sequence[Event]:
        return self._runs.settle(at_end=at_end)

    def _filter(self, head: bytes) -> Keep | None:
        """What is kept of a frame that begins like this."""
        name = name_of(head)
        if name is None:
            return Keep(None)
        if name in _KEPT and (name != b"TOOL_CALL_RESULT" or self._with_deeds or call_id_of(head) is None):
            return _KEPT[name]
        if name == b"TOOL_CALL_RESULT":
            return Keep("TOOL_CALL_RESULT", HEAD)
        if name == b"RUN_STARTED":  # it may hold the whole request
            return Keep("RUN_STARTED", None if run_id_of(head) is None else HEAD)
        if name == b"MESSAGES_SNAPSHOT" and self._runs.run.is_silent:
            return Keep("MESSAGES_SNAPSHOT", self._limit)
        if name == b"CUSTOM":
            return self._filter_custom(custom_name_of(head))
        return None

    def _filter_custom(self, name: bytes | None) -> Keep | None:
        if name is None:  # its name stands behind something long, as LangGraph writes it
            return Keep("CUSTOM", self._limit)
        return Keep("CUSTOM") if name in (ON_INTERRUPT, AGENT_STOPPED) else None

    def _read(self, frame: Frame) -> Sequence[Event]:
        if frame.tag == "MESSAGES_SNAPSHOT":
            self._runs.run.keep_snapshot(None if frame.truncated else frame.data)
            return ()
        if frame.truncated:
            return self._read_head(frame)
        data = decode(frame.data)
        if frame.tag == "TEXT_MESSAGE_CONTENT" and len(data) == 3:
            told = self._runs.add_plain_text(data.get("messageId"), data.get("delta"))
            if told is not None:
                return told
        name: str = data["type"]
        if name not in _READ:
            return ()
        check(name, data)
        return self._dispatch(name, data)

    def _read_head(self, frame: Frame) -> Sequence[Event]:
        """A frame of which only the beginning is there."""
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


_READ = RUN_EVENTS | {"RUN_STARTED", "RUN_FINISHED", "RUN_ERROR"}

_KEPT = {name.encode(): Keep(name) for name in _READ - {"RUN_STARTED", "CUSTOM"}}


def find_last_run(stream: bytes) -> str:
    """The name of the last run on a whole stream, which is the one that was asked for; empty if there is none."""
    frames = FrameReader(max_frame=len(stream), judge=lambda head: _STARTS if name_of(head) in _MAY_START else None)
    name = ""
    for frame in frames.feed(stream):
        try:
            data = decode(frame.data)
        except UpstreamError:
            continue
        if data["type"] == "RUN_STARTED":
            name = text_of(data, "runId") or name
    return name


_STARTS = Keep(None)
_MAY_START = (b"RUN_STARTED", None)
