"""Reads the response to an Agentick `POST /send` into neutral events.

Source: `dialects/agentick/PROTOCOL.md`, "Frames" and "The order of a run".

A frame is `{"type":"event","event":NAME,"sessionId":…,"data":{…}}`. Most bytes of a run are frames that repeat the
prompt for debugging; they are recognised by NAME and dropped.

There are two paths. The fast path takes complete frames in the form of real gateways: one line, NAME at its fixed
place, text deltas without decoding. The slow path, `core.sse.FrameReader`, takes everything else: keys in any order,
frames split anywhere. Both yield the same events, and neither decodes a frame without needed fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO

import orjson

from ...core.errors import UpstreamError
from ...core.events import Event, TextDelta
from ...core.sse import BYTE_ORDER_MARK, FrameReader
from ..protocol import UnbufferedReader
from .frames import END_PREFIX_BYTES, ENVELOPE_START, IGNORED, RESULT_PREFIX_BYTES, decode
from .parsers import DUPLICATES, TOOL_ACTIVITY, Data
from .run_state import HANDLERS, HANDLERS_WITH_TOOL_ACTIVITY, EventHandler, RunState
from .text_fast_path import FrameTemplate, TemplateCache, derive

_FIELD = b"data: "
_PAYLOAD_OFFSET = len(_FIELD)
_NAME_OFFSET = len(_FIELD + ENVELOPE_START)
_FRAME_END = b"\n\n"
_MAX_END_LINE = len(_FIELD) + END_PREFIX_BYTES + len(b"\n")
_MAX_RESULT_LINE = len(_FIELD) + RESULT_PREFIX_BYTES + len(b"\n")
_CR = ord("\r")


class EventReader(UnbufferedReader):
    """Reads one run. `feed()` returns the events that each read completes."""

    __slots__ = (
        "_between_frames",
        "_buffer",
        "_frames",
        "_handlers",
        "_max_frame",
        "_run",
        "_session",
        "_templates",
    )

    def __init__(
        self,
        *,
        max_frame: int,
        include_tool_activity: bool = False,
        resumed: bool = False,
        templates: TemplateCache | None = None,
    ) -> None:
        """`max_frame`: bytes of a frame that has to be decoded, at most.

        `include_tool_activity`: with the agent's own tools and child executions. `resumed`: the stream is `/events`,
        which begins in the middle of a run. `templates`: shared with other runs of the gateway.
        """
        self._max_frame = max_frame
        self._run = RunState(include_tool_activity=include_tool_activity, resumed=resumed)
        self._handlers = _HANDLERS_BY_START_WITH_TOOL_ACTIVITY if include_tool_activity else _HANDLERS_BY_START
        self._frames = FrameReader(max_frame=max_frame, frame_filter=self._run.filter_frame)
        self._templates = templates if templates is not None else TemplateCache()
        # moving
        self._session: str | None = None
        """The session id, once the execution id is known."""
        self._between_frames = False
        """The last byte that was fed completes a frame."""
        self._template: FrameTemplate | None = None
        self._buffer = b""
        """The beginning of a frame that may match the template."""

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
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if self._template is not None and self._between_frames and len(data) <= self._max_frame:
            deltas = self._template.match(data)
            if deltas is not None:
                self._run.has_message = True
                return [deltas]
        events: list[Event] = []
        try:
            self._feed(data, events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def _feed(self, data: bytes, events: list[Event]) -> None:
        if len(data) > self._max_frame or _CR in data:
            self._feed_slow(data, events)
            return
        start = 0 if self._between_frames else self._complete_frame(data, events)
        if self._between_frames:
            start = self._feed_complete_frames(data, start, events)
        if start == len(data):
            return
        rest = data[start:]
        if self._template is not None and self._between_frames and self._template.may_begin(rest):
            self._buffer = rest
        else:
            self._feed_slow(rest, events)

    def _complete_frame(self, data: bytes, events: list[Event]) -> int:
        """Completes the frame that the previous read began; returns where it ends."""
        if self._frames.at_start and not data.startswith(BYTE_ORDER_MARK[:1]):
            self._frames.at_start = False
            self._between_frames = True
            return 0
        start = 0
        while start < len(data) and not self._between_frames:
            end = data.find(_FRAME_END, start)
            after = len(data) if end < 0 else end + len(_FRAME_END)
            self._feed_slow(data[start:after], events)
            start = after
        return start

    def _feed_complete_frames(self, data: bytes, start: int, events: list[Event]) -> int:
        """Reads the complete frames from `start`; returns where the last of them ends."""
        end = data.rfind(_FRAME_END, start) + len(_FRAME_END)
        if end < len(_FRAME_END):
            return start
        lines = BytesIO(data[start:end]).readlines()
        frames = lines[::2]
        if lines[1::2].count(b"\n") == len(frames):
            self._feed_frames(frames, events)
        else:
            self._feed_slow(data[start:end], events)
        return end

    def _feed_frames(self, frames: list[bytes], events: list[Event]) -> None:
        """Reads frames of one line each, without their empty lines."""
        run = self._run
        after_texts = 0
        for at, line in enumerate(frames):
            if at < after_texts:
                continue
            handler = self._handlers.get(line[: line.find(b'"', _NAME_OFFSET) + 1])
            if handler is _IGNORED or (handler is _DUPLICATE and run.has_message and not run.calls_tool):
                continue
            if handler is _TEXT and self._template is not None:
                after_texts = self._feed_texts(self._template, frames, at, events)
            elif handler is None or handler is _DUPLICATE or not self._read_fast(handler, line, events):
                self._feed_slow(line + b"\n", events)
            if run.finished:
                return

    def _read_fast(self, handler: EventHandler, line: bytes, events: list[Event]) -> bool:
        """Reads one complete frame; False if it has to take the slow path."""
        run = self._run
        if handler.is_empty is not None and run.execution_id and handler.is_empty(line):
            event = run.handle_empty(handler)
        elif (handler is _END and len(line) > _MAX_END_LINE) or (handler is _RESULT and len(line) > _MAX_RESULT_LINE):
            return False
        else:
            try:
                envelope = orjson.loads(line[_PAYLOAD_OFFSET:])
                data = envelope["data"]
            except (orjson.JSONDecodeError, KeyError):
                return False
            if type(data) is not dict or data.get("spawnPath"):
                return handler is not _END or type(data) is dict
            event = self._handle_end(data) if handler is _END else run.handle(handler, data)
            if self._session is None and run.execution_id:
                self._on_run_known(envelope)
        if event is not None:
            events.append(event)
            if handler is _TEXT:
                self._derive_template(event, line[_PAYLOAD_OFFSET:-1])
        return True

    def _feed_texts(self, shape: FrameTemplate, frames: list[bytes], at: int, events: list[Event]) -> int:
        """Reads consecutive frames that match the template; returns the place of the first that does not."""
        deltas, after = shape.match_all(frames, at)
        if deltas is not None:
            self._run.has_message = True
            if deltas.encoded:
                events.append(deltas)
            return after
        after = max(after, at + 1)
        for line in frames[at:after]:
            deltas = shape.match(line + b"\n")
            if deltas is None:
                self._feed_slow(line + b"\n", events)
            else:
                self._run.has_message = True
                events.append(deltas)
        return after

    def _feed_slow(self, data: bytes, events: list[Event]) -> None:
        for frame in self._frames.feed(data):
            if not self._run.finished:
                self._handle_frame(frame.data, frame.tag, frame.truncated, events)
        self._between_frames = self._frames.between_frames

    def _handle_frame(self, payload: bytes, name: str | None, truncated: bool, events: list[Event]) -> None:
        event = self._run.handle_truncated(str(name), payload) if truncated else self._read(payload, name)
        if self._run.finished:
            self._disable_fast_path()
        if event is not None:
            events.append(event)
            self._derive_template(event, payload)

    def _derive_template(self, event: Event, payload: bytes) -> None:
        if type(event) is TextDelta and event.text and self._session is not None:
            self._template = derive(payload, event.text)
            if self._template is not None:
                self._templates.store(self._template, self._session, self._run.execution_id)

    def _read(self, payload: bytes, name: str | None) -> Event | None:
        """`name`: of the event, if it was recognised without decoding."""
        if name in HANDLERS and self._is_empty(HANDLERS[name], payload):
            return self._run.handle_by_name(name, {})
        envelope = decode(payload)
        data = envelope.get("data")
        name = name or envelope.get("event")
        if name == "execution_end" and not isinstance(data, dict):
            raise UpstreamError(
                "The agent sent an `execution_end` without `data`, so the outcome of its run is unknown."
            )
        if not isinstance(data, dict) or not isinstance(name, str) or data.get("spawnPath"):
            return None
        event = self._handle_end(data) if name == "execution_end" else self._run.handle_by_name(name, data)
        if self._session is None and self._run.execution_id:
            self._on_run_known(envelope)
        return event

    def _on_run_known(self, envelope: Data) -> None:
        """Takes the template of an earlier run, now that session and execution ids are known."""
        session = envelope.get("sessionId")
        self._session = session if isinstance(session, str) else ""
        self._template = self._templates.lookup(self._session, self._run.execution_id)

    def _is_empty(self, handler: EventHandler, frame: bytes) -> bool:
        """Whether the frame need not be decoded. The first frame always is, since it has the execution id."""
        return handler.is_empty is not None and self._run.execution_id != "" and handler.is_empty(frame)

    def _handle_end(self, data: Data) -> Event | None:
        event = self._run.handle_end(data)
        if self._run.finished:
            self._disable_fast_path()
        return event

    def _disable_fast_path(self) -> None:
        """Sends all further frames, which are not this run's, down the slow path."""
        self._handlers, self._template = {}, None


_IGNORED, _DUPLICATE, _END = (EventHandler(lambda data: None, None) for _ in range(3))
_TEXT, _RESULT = HANDLERS["content_delta"], HANDLERS["tool_result"]


def _by_start(handlers: dict[str, EventHandler]) -> dict[bytes, EventHandler]:
    """The handler by a frame's first bytes, up to the quote after the event's name.

    `error` is left out: the transport and the model both have an event of that name.
    """
    named = {**dict.fromkeys([*IGNORED, *TOOL_ACTIVITY], _IGNORED), **handlers, **dict.fromkeys(DUPLICATES, _DUPLICATE)}
    named["execution_end"] = _END
    del named["error"]
    return {b'%b%b%b"' % (_FIELD, ENVELOPE_START, name.encode()): handler for name, handler in named.items()}


_HANDLERS_BY_START = _by_start(HANDLERS)
_HANDLERS_BY_START_WITH_TOOL_ACTIVITY = _by_start(HANDLERS_WITH_TOOL_ACTIVITY)


def _then_raise(events: list[Event], error: UpstreamError) -> Iterator[Event]:
    yield from events
    raise error
