"""Reads the response to an Agentick `POST /send` into neutral events.

Source: `dialects/agentick/PROTOCOL.md`, "Frames" and "The order of a run".

Most bytes of a run are frames that repeat the prompt for debugging: `FrameReader` drops them by their first bytes,
while they arrive. All others are decoded as JSON. `text_fast_path` only saves the decoding of text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from ...core.errors import UpstreamError
from ...core.events import Event, TextDeltas
from ...core.sse import PEEK_BYTES, Frame, FrameReader, Kept
from ..protocol import UnbufferedReader
from .frames import BARE_EVENTS, data_key_of, decode, decode_data, fields_before_output, is_bare
from .parsers import Data
from .run_state import RunState
from .text_fast_path import TEXT_START, FrameTemplate

_DATA = b"data: "
_FRAME_START = _DATA + b'{"type":"event","event":"'
"""The bytes before the name, in the key order of real gateways."""
MAX_NAME = PEEK_BYTES - len(_FRAME_START)
"""Bytes of the longest name by which a frame is dropped, also if only its first PEEK_BYTES have arrived."""
_FRAME_END = b"\n\n"
_LF, _CR = b"\n\r"

MAX_ALONE = 1024
"""Bytes of the longest read that is tried as one frame of text."""

MAX_PARTIAL = 4096
"""Bytes of the longest beginning of a frame that is kept for the next read; FrameReader gets a longer one at once."""


class EventReader(UnbufferedReader):
    """Reads one run. `feed()` returns the events that each read completes."""

    __slots__ = ("_data_key", "_frames", "_max_alone", "_max_frame", "_partial", "_run", "_template")

    def __init__(self, max_frame: int, include_tool_activity: bool = False, resumed: bool = False) -> None:
        """`max_frame`: bytes of a frame that has to be decoded, at most.

        `include_tool_activity`: with the agent's own tools and child executions. `resumed`: the stream is `/events`,
        which begins in the middle of a run.
        """
        self._max_frame = max_frame
        self._max_alone = min(MAX_ALONE, max_frame)
        self._run = RunState(include_tool_activity, resumed)
        self._frames = FrameReader(max_frame, self._run.filter_frame)
        # state
        self._data_key = b""
        """The bytes between the name of an event and its data, in the last frame that was decoded whole."""
        self._template: FrameTemplate | None = None
        """The template of the current block of text; None before the first, and after the run."""
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
            deltas = None
            if self._template is not None and len(data) <= self._max_alone and self._frames.between_frames:
                deltas = self._template.match(data)
            if deltas is None:
                self._read(data, events)
            else:
                self._add_text(deltas, events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def feed_chunks(self, chunks: list[bytes]) -> Iterable[Event]:
        """`feed` for bytes that came in these HTTP chunks.

        Gateways send each frame in a chunk of its own. Its end need not be found then, which saves 480 instructions
        a frame.
        """
        if len(chunks) == 1:
            return self.feed(chunks[0])
        lines = [self._partial + chunks[0], *chunks[1:]]
        self._partial = b""
        data = b"".join(lines)
        if not (self._frames.begin(data) and _is_frame(lines[0])) or len(data) > self._max_frame:
            return self.feed(data)
        events: list[Event] = []
        try:
            number = self._read_lines(lines, events, end=b"\n")
            if number < len(lines):
                self._read(b"".join(lines[number:]), events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def flush(self, *, at_end: bool) -> Iterable[Event]:
        """At the end of the stream: the event of a last frame without its empty line, if what is needed of it arrived.

        Server-sent events discard it; the official client, which reads line by line, does not.
        """
        if not at_end or self.finished:
            return ()
        events: list[Event] = []
        with contextlib.suppress(UpstreamError):  # the frame was cut
            self._handle_frames(self._frames.end(), events)
        return events

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Reads any number of frames."""
        if not self._frames.between_frames and not self._frames.begin(data):
            end = data.find(_FRAME_END) + len(_FRAME_END)
            if end < len(_FRAME_END):
                end = len(data)
            self._decode(data[:end], events)
            data = data[end:]
        lines, rest = self._frames.cut(data)
        if len(data) > self._max_frame and max(map(len, lines), default=0) > self._max_frame:
            lines, rest = [], data  # FrameReader bounds each frame
        self._read_lines(lines, events)
        if rest and events and type(events[-1]) is TextDeltas and _begins_text(rest):
            self._partial = rest
        elif rest:
            self._decode(rest, events)

    def _read_lines(self, lines: list[bytes], events: list[Event], end: bytes = b"") -> int:
        """Reads frames of one line each, of at most `max_frame` bytes; returns their number.

        `end`: what follows the line end of each, if the lines are chunks. They are read up to one that is no frame.
        """
        number, run, needed = 0, self._run, self._run.needed
        while number < len(lines) and not run.finished:
            line = lines[number]
            if end:
                if not _is_frame(line):
                    line = b"".join(lines[number : number + 2])  # a read of the socket may have cut it
                    if not _is_frame(line):
                        return number
                    lines[number : number + 2] = [line]
                line = line[:-1]
            number += 1
            own = line.removeprefix(_FRAME_START)  # the line itself, if it begins in another way
            name, _, rest = own.partition(b'"')
            if own is line or not rest:  # another key order, or no event at all
                if line[:1] not in (b"\n", b":"):
                    self._decode(line + b"\n", events)
            elif (kept := needed.get(name)) is None and (kept := run.filter_rare(name, line)) is None:
                if len(name) > MAX_NAME:
                    self._decode(line + b"\n", events)
            elif name == b"content_delta" and (count := self._read_text(lines, number - 1, events, end)):
                number += count - 1
            else:
                self._read_event(kept, line, rest, events)
        return len(lines)

    def _read_text(self, lines: list[bytes], number: int, events: list[Event], end: bytes) -> int:
        """Reads all frames of the current block of text from this line on; returns their number."""
        if self._template is None:
            return 0
        deltas, count = self._template.match_lines(lines, number, end)
        if deltas is not None:
            self._add_text(deltas, events)
        elif count:  # decodes all, so that the time is linear: 800 frames with a bad one took 97 ms one by one
            joiner = b"" if end else b"\n"
            self._decode(joiner.join(lines[number : number + count]) + joiner, events)
        return count

    def _read_event(self, kept: Kept, line: bytes, rest: bytes, events: list[Event]) -> None:
        """Reads a kept frame of one line. `rest`: the line after the event's name.

        The bytes before the data are the same in all frames of a session, so only the data are decoded. Saves 5 k
        instructions a frame.
        """
        name, limit, _ = kept
        own = rest.removeprefix(self._data_key)
        if limit is not None and len(line) > limit:
            self._read_long(name, line, limit, events)
        elif own is rest or name is None:
            self._handle(name, decode(line[len(_DATA) :]), events)
        elif name in BARE_EVENTS and self._run.execution_id and is_bare(own):
            if (event := self._run.handle_bare(name)) is not None:
                events.append(event)
        elif (data := decode_data(own)) is not None:
            self._handle_event(name, data, events)
        else:
            self._handle(name, decode(line[len(_DATA) :]), events)

    def _read_long(self, name: str | None, line: bytes, limit: int, events: list[Event]) -> None:
        """Reads a frame of one line of which the first `limit` bytes may be enough."""
        data = None
        if name == "execution_end" and len(line) - len(_DATA) - 1 > limit:
            data = self._run.outcome_in(line[len(_DATA) : len(_DATA) + limit])
        if data is None:
            self._decode(line + b"\n", events)
        else:
            self._handle_event(name, data, events)

    def _add_text(self, deltas: TextDeltas, events: list[Event]) -> None:
        self._run.has_message = True
        if deltas.encoded:
            events.append(deltas)

    def _decode(self, data: bytes, events: list[Event]) -> None:
        """Reads frames of any form, cut anywhere."""
        self._handle_frames(self._frames.feed(data), events)

    def _handle_frames(self, frames: Iterable[Frame], events: list[Event]) -> None:
        for frame in frames:
            if not frame.truncated:
                self._handle(frame.tag, decode(frame.data), events)
            elif frame.tag != "tool_result":
                self._handle(frame.tag, {"data": fields_before_output(frame.data)}, events)
            elif (event := self._run.handle_long_result(frame.data)) is not None:
                events.append(event)

    def _handle(self, tag: str | None, envelope: Data, events: list[Event]) -> None:
        if envelope.get("type", "event") != "event":
            return  # a frame of `/events` about a channel or the connection
        self._data_key = data_key_of(envelope)
        self._handle_event(tag or envelope.get("event"), envelope.get("data"), events)

    def _handle_event(self, name: Any, data: Any, events: list[Event]) -> None:
        if not isinstance(data, dict):
            if name == "execution_end":
                raise UpstreamError(
                    "The agent sent an `execution_end` without `data`, so the outcome of its run is unknown."
                )
            return
        if not isinstance(name, str) or data.get("spawnPath"):
            return
        if name == "content_start":
            self._template = _new_template(self._data_key, data)
        try:
            event = self._run.handle(name, data)
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None
        if self._run.finished:
            self._template = None
        if event is not None:
            events.append(event)


def _is_frame(chunk: bytes) -> bool:
    """Whether this is one event in one line, with its empty line."""
    return chunk.partition(b"\n")[2] == b"\n" and _CR not in chunk


def _begins_text(data: bytes) -> bool:
    """Whether this may be the beginning of a text frame, without the end of its line."""
    if len(data) > MAX_PARTIAL or _LF in data or _CR in data:
        return False
    return data[: len(TEXT_START)] == TEXT_START[: len(data)]


def _new_template(data_key: bytes, content_start: Data) -> FrameTemplate | None:
    try:
        return FrameTemplate(data_key, content_start) if data_key else None
    except (KeyError, TypeError):
        return None


def _then_raise(events: list[Event], error: UpstreamError) -> Iterator[Event]:
    yield from events
    raise error
