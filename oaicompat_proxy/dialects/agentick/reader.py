"""What an Agentick gateway says on `POST /send`, read into events.

Source: `dialects/agentick/PROTOCOL.md`, "Frames" and "The order of a run".

A frame is `{"type":"event","event":NAME,"sessionId":…,"data":{…}}`. Most bytes of a run are frames that send
prompts back for debugging; they are recognised by NAME and never kept.

There are two ways through. The short one takes whole frames as gateways write them: one line, NAME at its fixed
place, plain text without decoding. Whatever is different goes the long one: through the event-stream reader, in any
order of the keys, cut anywhere. Both say the same, and neither decodes what says nothing but its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import BytesIO

import orjson

from ...core.errors import UpstreamError
from ...core.events import Event, TextDelta
from ...core.sse import MARK, FrameReader
from ..protocol import EndsItself
from .frames import END_HEAD, FRONT, NEVER_NEEDED, RESULT_HEAD
from .parsers import COPIES, DEEDS, Data
from .run_state import KINDS, KINDS_WITH_DEEDS, Kind, Run
from .text_fast_path import Shapes, TextShape, learn

_FIELD = b"data: "
_PAYLOAD_AT = len(_FIELD)
_NAME_AT = len(_FIELD + FRONT)
_FRAME_END = b"\n\n"
_LONGEST_END = len(_FIELD) + END_HEAD + len(b"\n")
_LONGEST_RESULT = len(_FIELD) + RESULT_HEAD + len(b"\n")
_CR = ord("\r")


class EventReader(EndsItself):
    """Reads one run: `feed()` bytes as they come, take the events that they complete."""

    __slots__ = (
        "_between_frames",
        "_frames",
        "_known",
        "_max_frame",
        "_rest",
        "_run",
        "_session",
        "_shape",
        "_shapes",
    )

    def __init__(
        self, *, max_frame: int, with_deeds: bool = False, resumed: bool = False, shapes: Shapes | None = None
    ) -> None:
        """`max_frame`: bytes of the largest frame that may have to be decoded.

        `with_deeds`: also what the agent's own tools and children did. `resumed`: read from `/events`, which
        begins in mid-run. `shapes`: what was learned from earlier runs, and what the next are told.
        """
        self._max_frame = max_frame
        self._run = Run(with_deeds=with_deeds, resumed=resumed)
        self._known = _KNOWN_WITH_DEEDS if with_deeds else _KNOWN
        self._frames = FrameReader(max_frame=max_frame, judge=self._run.judge)
        self._shapes = shapes if shapes is not None else Shapes()
        # moving
        self._session: str | None = None
        """Its name, once the run is known."""
        self._between_frames = False
        """All that came was whole frames."""
        self._shape: TextShape | None = None
        self._rest = b""
        """The beginning of a frame of that shape."""

    @property
    def over(self) -> bool:
        """The agent has said its last word."""
        return self._run.over

    @property
    def execution_id(self) -> str:
        """The agent's own name for the run; empty as long as it has not told."""
        return self._run.execution_id

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that end within `data`.

        Raises UpstreamError for a frame that cannot be understood or is too long: where it stands, while the events
        are taken, so that those before it are not lost.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._shape is not None and self._between_frames and len(data) <= self._max_frame:
            deltas = self._shape.cut_one(data)
            if deltas is not None:
                self._run.message_known = True
                return [deltas]
        events: list[Event] = []
        try:
            self._feed(data, events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def _feed(self, data: bytes, events: list[Event]) -> None:
        if len(data) > self._max_frame or _CR in data:
            self._feed_any(data, events)
            return
        start = 0 if self._between_frames else self._complete(data, events)
        if self._between_frames:
            start = self._feed_whole(data, start, events)
        if start == len(data):
            return
        rest = data[start:]
        if self._shape is not None and self._between_frames and self._shape.may_become(rest):
            self._rest = rest
        else:
            self._feed_any(rest, events)

    def _complete(self, data: bytes, events: list[Event]) -> int:
        """The frame that was cut before; returns where it ends."""
        if self._frames.at_start and not data.startswith(MARK[:1]):
            self._frames.at_start = False
            self._between_frames = True
            return 0
        start = 0
        while start < len(data) and not self._between_frames:
            end = data.find(_FRAME_END, start)
            after = len(data) if end < 0 else end + len(_FRAME_END)
            self._feed_any(data[start:after], events)
            start = after
        return start

    def _feed_whole(self, data: bytes, start: int, events: list[Event]) -> int:
        """The whole frames from `start` on; returns where the last of them ends."""
        end = data.rfind(_FRAME_END, start) + len(_FRAME_END)
        if end < len(_FRAME_END):
            return start
        lines = BytesIO(data[start:end]).readlines()
        frames = lines[::2]
        if lines[1::2].count(b"\n") == len(frames):
            self._feed_frames(frames, events)
        else:
            self._feed_any(data[start:end], events)
        return end

    def _feed_frames(self, frames: list[bytes], events: list[Event]) -> None:
        """Frames of one line each, without the empty one behind it."""
        run = self._run
        behind_texts = 0
        for at, line in enumerate(frames):
            if at < behind_texts:
                continue
            kind = self._known.get(line[: line.find(b'"', _NAME_AT) + 1])
            if kind is _NEVER_NEEDED or (kind is _COPY and run.message_known and not run.calls_tool):
                continue
            if kind is _TEXT and self._shape is not None:
                behind_texts = self._feed_texts(self._shape, frames, at, events)
            elif kind is None or kind is _COPY or not self._read_known(kind, line, events):
                self._feed_any(line + b"\n", events)
            if run.over:
                return

    def _read_known(self, kind: Kind, line: bytes, events: list[Event]) -> bool:
        """False for a frame that is odd in some way, and has to be read the long way."""
        run = self._run
        if kind.is_bare is not None and run.execution_id and kind.is_bare(line):
            event = run.hear_bare(kind)
        elif (kind is _END and len(line) > _LONGEST_END) or (kind is _RESULT and len(line) > _LONGEST_RESULT):
            return False
        else:
            try:
                envelope = orjson.loads(line[_PAYLOAD_AT:])
                data = envelope["data"]
            except (orjson.JSONDecodeError, KeyError):
                return False
            if type(data) is not dict or data.get("spawnPath"):
                return kind is not _END or type(data) is dict
            event = self._end(data) if kind is _END else run.hear(kind, data)
            if self._session is None and run.execution_id:
                self._begin(envelope)
        if event is not None:
            events.append(event)
            if kind is _TEXT:
                self._learn(event, line[_PAYLOAD_AT:-1])
        return True

    def _feed_texts(self, shape: TextShape, frames: list[bytes], at: int, events: list[Event]) -> int:
        """The frames of this shape from this place on; returns the place of the first that is of another."""
        deltas, after = shape.cut_all(frames, at)
        if deltas is not None:
            self._run.message_known = True
            if deltas.encoded:
                events.append(deltas)
            return after
        after = max(after, at + 1)
        for line in frames[at:after]:
            deltas = shape.cut_one(line + b"\n")
            if deltas is None:
                self._feed_any(line + b"\n", events)
            else:
                self._run.message_known = True
                events.append(deltas)
        return after

    def _feed_any(self, data: bytes, events: list[Event]) -> None:
        for frame in self._frames.feed(data):
            if not self._run.over:
                self._take(frame.data, frame.tag, frame.truncated, events)
        self._between_frames = self._frames.between_frames

    def _take(self, payload: bytes, name: str | None, truncated: bool, events: list[Event]) -> None:
        event = self._run.hear_head(str(name), payload) if truncated else self._read(payload, name)
        if self._run.over:
            self._forget_text()
        if event is not None:
            events.append(event)
            self._learn(event, payload)

    def _learn(self, event: Event, payload: bytes) -> None:
        if type(event) is TextDelta and event.text and self._session is not None:
            self._shape = learn(payload, event.text)
            if self._shape is not None:
                self._shapes.note(self._shape, self._session, self._run.execution_id)

    def _read(self, payload: bytes, name: str | None) -> Event | None:
        """`name`: of the event, where it was recognised without decoding."""
        if name in KINDS and self._is_bare(KINDS[name], payload):
            return self._run.hear_named(name, {})
        envelope = _decode(payload)
        data = envelope.get("data")
        name = name or envelope.get("event")
        if name == "execution_end" and not isinstance(data, dict):
            raise UpstreamError("The agent's last event cannot be read, so how its run ended is not known.")
        if not isinstance(data, dict) or not isinstance(name, str) or data.get("spawnPath"):
            return None
        event = self._end(data) if name == "execution_end" else self._run.hear_named(name, data)
        if self._session is None and self._run.execution_id:
            self._begin(envelope)
        return event

    def _begin(self, envelope: Data) -> None:
        """The run has told its name: its text looks like that of the run before, if there was one."""
        session = envelope.get("sessionId")
        self._session = session if isinstance(session, str) else ""
        self._shape = self._shapes.recall(self._session, self._run.execution_id)

    def _is_bare(self, kind: Kind, frame: bytes) -> bool:
        """Whether the frame need not be decoded to be heard. The first one always is: it tells the run's own name."""
        return kind.is_bare is not None and self._run.execution_id != "" and kind.is_bare(frame)

    def _end(self, data: Data) -> Event | None:
        event = self._run.end(data)
        if self._run.over:
            self._forget_text()
        return event

    def _forget_text(self) -> None:
        """The run is over: what may still come is not this run's, and nothing is recognised by its shape."""
        self._known, self._shape = {}, None


_NEVER_NEEDED, _COPY, _END = (Kind(lambda data: None, None) for _ in range(3))
_TEXT, _RESULT = KINDS["content_delta"], KINDS["tool_result"]


def _by_front(kinds: dict[str, Kind]) -> dict[bytes, Kind]:
    """What a frame is that begins like this, up to the quote behind its name.

    A transport `error` looks like a model's.
    """
    named = {**dict.fromkeys([*NEVER_NEEDED, *DEEDS], _NEVER_NEEDED), **kinds, **dict.fromkeys(COPIES, _COPY)}
    named["execution_end"] = _END
    del named["error"]
    return {b'%b%b%b"' % (_FIELD, FRONT, name.encode()): kind for name, kind in named.items()}


_KNOWN = _by_front(KINDS)
_KNOWN_WITH_DEEDS = _by_front(KINDS_WITH_DEEDS)


def _decode(payload: bytes) -> Data:
    """The frame's JSON. Lone surrogates are kept: the other half may come with the next piece."""
    try:
        envelope = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            envelope = json.loads(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise UpstreamError("The agent sent an event that is no JSON.") from None
    return envelope if isinstance(envelope, dict) else {}


def _then_raise(events: list[Event], error: UpstreamError) -> Iterator[Event]:
    yield from events
    raise error
