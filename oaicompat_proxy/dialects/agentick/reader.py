"""Reads the response to an Agentick `POST /send` into neutral events.

Source: `dialects/agentick/PROTOCOL.md`, "Frames" and "The order of a run".

Most bytes of a run are frames that repeat the prompt for debugging: `FrameReader` drops them by their first bytes,
while they arrive. All others are decoded as JSON. `text_fast_path` only saves the decoding of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...core.errors import UpstreamError
from ...core.events import Event
from ...core.sse import Frame, FrameReader
from ..protocol import UnbufferedReader
from .frames import decode, fields_before_output
from .parsers import Data
from .run_state import RunState
from .text_fast_path import TEXT_START, FrameTemplate

_FRAME_END = b"\n\n"
_LF, _CR = b"\n\r"
_NEXT_TEXT = _FRAME_END + TEXT_START


MAX_PARTIAL = 4096
"""Bytes of the beginning of a frame that waits for its rest; a longer one is read while it arrives."""


class EventReader(UnbufferedReader):
    """Reads one run. `feed()` returns the events that each read completes."""

    __slots__ = ("_frames", "_max_frame", "_partial", "_run", "_template")

    def __init__(self, *, max_frame: int, include_tool_activity: bool = False, resumed: bool = False) -> None:
        """`max_frame`: bytes of a frame that has to be decoded, at most.

        `include_tool_activity`: with the agent's own tools and child executions. `resumed`: the stream is `/events`,
        which begins in the middle of a run.
        """
        self._max_frame = max_frame
        self._run = RunState(include_tool_activity=include_tool_activity, resumed=resumed)
        self._frames = FrameReader(max_frame=max_frame, frame_filter=self._run.filter_frame)
        # state
        self._template: FrameTemplate | None = None
        """That of the current block of text, until the run is finished."""
        self._partial = b""
        """The beginning of a text frame at the end of the last read: the next read begins with a whole frame."""

    @property
    def finished(self) -> bool:
        """The run has ended."""
        return self._run.finished

    @property
    def execution_id(self) -> str:
        """The agent's id of the run; empty until it is known."""
        return self._run.execution_id

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that end within `data`.

        The iterator raises UpstreamError for a malformed or too long frame, after the events before it.
        """
        if self._partial:
            data, self._partial = self._partial + data, b""
        events: list[Event] = []
        try:
            if not (self._frames.between_frames and data.startswith(TEXT_START)):
                data = self._decode_to_text(data, events)
            if data and self._template is not None and len(data) <= self._max_frame:
                match = self._template.match(data)
                if match is not None:
                    deltas, data = match
                    self._run.has_message = True
                    if deltas.encoded:
                        events.append(deltas)
                    if data and _begins_text(data):
                        self._partial, data = data, b""
            if data:
                self._decode(data, events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def _decode_to_text(self, data: bytes, events: list[Event]) -> bytes:
        """Decodes the frames before the first text frame; returns the rest of the read."""
        start = data.find(_NEXT_TEXT) + len(_FRAME_END)
        if start < len(_FRAME_END):
            start = len(data)
        self._decode(data[:start], events)
        return data[start:]

    def _decode(self, data: bytes, events: list[Event]) -> None:
        for frame in self._frames.feed(data):
            event = self._handle(frame)
            if event is not None:
                events.append(event)

    def _handle(self, frame: Frame) -> Event | None:
        if not frame.truncated:
            envelope = decode(frame.data)
        elif frame.tag == "tool_result":
            return self._run.handle_long_result(frame.data)
        else:
            envelope = {"data": fields_before_output(frame.data)}
        name, data = frame.tag or envelope.get("event"), envelope.get("data")
        if name == "execution_end" and not isinstance(data, dict):
            raise UpstreamError(
                "The agent sent an `execution_end` without `data`, so the outcome of its run is unknown."
            )
        if not isinstance(data, dict) or not isinstance(name, str) or data.get("spawnPath"):
            return None
        if name == "content_start":
            self._template = _new_template(envelope)
        event = self._run.handle(name, data)
        if self._run.finished:
            self._template = None
        return event


def _begins_text(data: bytes) -> bool:
    """Whether this may be the beginning of a text frame, without the end of its line."""
    if len(data) > MAX_PARTIAL or _LF in data or _CR in data:
        return False
    return data[: len(TEXT_START)] == TEXT_START[: len(data)]


def _new_template(content_start: Data) -> FrameTemplate | None:
    try:
        return FrameTemplate(content_start)
    except (KeyError, TypeError):
        return None


def _then_raise(events: list[Event], error: UpstreamError) -> Iterator[Event]:
    yield from events
    raise error
