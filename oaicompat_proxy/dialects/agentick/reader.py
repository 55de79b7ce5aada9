"""What an Agentick gateway says on `POST /send`, read into events.

Source: `agenticklabs/agentick` 0.9.4, packages `gateway` and `shared`, as run and recorded.

A frame is `{"type":"event","event":NAME,"sessionId":…,"data":{…}}`. Most bytes of a run are frames that send
prompts back for debugging; they are recognised by NAME and never kept. What makes an end:

- `execution_end` of this run with `error` or `aborted`, or a transport `error` (its `error` is a string): failed;
- `execution_end` with empty `data`, which the gateway adds behind the real one: done.

The real `execution_end` alone is not the last word: a gateway that dies between the two has lost the connection.
Children's events carry `spawnPath`; they are never this run's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import orjson

from ...errors import UpstreamError
from ...events import Event, RunEnded, RunFailed, TextDelta
from ...sse import HEAD, MARK, FrameReader, Keep
from .names import COPY_NAMES, KEEPS, KEEPS_WITH_DEEDS, name_of
from .parsers import COPIES, DEEDS, PARSERS, Data, failure_of, text_of
from .plain_text import TextShape, check, learn

_FIELD = b"data: "

_USER_ENTRY = re.compile(rb'"message"\s*:\s*\{\s*"role"\s*:\s*"(?!assistant)')

_MESSAGE_SIGNS = {"message_start", "content_delta", "reasoning_delta", "message", "model_response"}
"""With these the tick's message is known, by its beginning or as a whole."""


class EventReader:
    """Reads one run: `feed()` bytes as they come, take the events that they complete."""

    def __init__(self, *, max_frame: int, with_deeds: bool = False, resumed: bool = False) -> None:
        """`max_frame`: bytes of the largest frame that may have to be decoded.

        `with_deeds`: also what the agent's own tools and children did. `resumed`: read from `/events`, which
        begins in mid-run and has no second `execution_end`, so the first is the last word.
        """
        self._max_frame = max_frame
        self._resumed = resumed
        self.over = False
        """The agent has said its last word."""
        self._parsers = {**PARSERS, **DEEDS} if with_deeds else PARSERS
        self._keeps = KEEPS_WITH_DEEDS if with_deeds else KEEPS
        self._frames = FrameReader(max_frame=max_frame, judge=self._judge)
        self._between_frames = False
        """All that came was whole frames."""
        self._shape: TextShape | None = None
        self._rest = b""
        """The beginning of a frame of that shape."""
        self._execution_id: str | None = None
        self._execution_ended = False
        self._message_known = resumed
        """This tick's message has come by pieces or whole: its copies are not needed."""
        self._children: dict[str, str] = {}
        """Names of children that run: only their beginning tells them."""
        self._calls_tool = False
        """This tick calls a tool, so an answer may end with it, and only `message` has its usage by then."""

    @property
    def execution_id(self) -> str:
        """The agent's own name for the run; empty as long as it has not told."""
        return self._execution_id or ""

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
                self._message_known = True
                return (deltas,)
        events: list[Event] = []
        try:
            self._feed_frames(data, events)
        except UpstreamError as error:
            return _then_raise(events, error)
        return events

    def _feed_frames(self, data: bytes, events: list[Event]) -> None:
        if self._frames.at_start and not data.startswith(MARK[:1]):
            self._frames.at_start = False
            self._between_frames = True
        start = 0
        while start < len(data) and b"\r" not in data:
            if self._between_frames and self._shape is not None and len(data) <= self._max_frame:
                self._feed_plain(data[start:], self._shape, events)
                return
            end = data.find(b"\n\n", start)
            if end < 0:
                break
            if self._between_frames:
                self._feed_frame(data[start:end], events)
            else:
                self._feed_any(data[start : end + 2], events)
            start = end + 2
        self._feed_any(data[start:], events)

    def _feed_plain(self, data: bytes, shape: TextShape, events: list[Event]) -> None:
        """Neighbouring frames of plain text as one event; every other frame the slow way."""
        found = shape.cut_all(data)
        if found is not None:
            deltas, end = found
            self._message_known = True
            events.append(deltas)
            data = data[end:]
        *frames, rest = data.split(b"\n\n")
        plain: list[bytes] = []
        waiting: list[bytes] = []
        for frame in frames:
            text = shape.cut(frame)
            if text:
                plain.append(text)
                waiting.append(frame)
            elif text is None:
                if plain:
                    self._tell(plain, waiting, events)
                    plain, waiting = [], []
                self._feed_frame(frame, events)
            elif not self._execution_ended:
                self._message_known = True
        if plain:
            self._tell(plain, waiting, events)
        if shape.may_become(rest):
            self._rest = rest
        else:
            self._feed_any(rest, events)

    def _tell(self, plain: list[bytes], frames: list[bytes], events: list[Event]) -> None:
        deltas = None if self._execution_ended else check(plain)
        if deltas is not None:
            self._message_known = True
            events.append(deltas)
            return
        for frame in frames:
            self._feed_frame(frame, events)

    def _feed_frame(self, frame: bytes, events: list[Event]) -> None:
        """A whole frame, without its end. Nearly always it is one line, which needs no search for lines."""
        if not frame.startswith(_FIELD) or b"\n" in frame or len(frame) > self._max_frame:
            self._feed_any(frame + b"\n\n", events)
            return
        payload = frame[len(_FIELD) :]
        keep = self._judge(payload[:HEAD])
        if keep is None:
            return
        if keep.limit is None:
            self._take(payload, keep.tag, False, events)
        else:
            self._take(payload[: keep.limit], keep.tag, len(payload) > keep.limit, events)

    def _feed_any(self, data: bytes, events: list[Event]) -> None:
        for frame in self._frames.feed(data):
            self._take(frame.data, frame.tag, frame.truncated, events)
        self._between_frames = self._frames.between_frames

    def _take(self, payload: bytes, name: str | None, truncated: bool, events: list[Event]) -> None:
        event = self._read_end(payload, truncated) if name == "execution_end" else self._read(payload, name)
        if event is None:
            return
        events.append(event)
        if type(event) is TextDelta:
            if event.text and self._execution_id is not None:
                self._shape = learn(payload, event.text)
        elif isinstance(event, RunEnded | RunFailed):
            self.over = True

    def _judge(self, head: bytes) -> Keep | None:
        name = name_of(head)
        if name is None:
            return Keep(None)
        keep = self._keeps.get(name)
        if keep is None and name in COPY_NAMES and self._is_needed_copy(COPY_NAMES[name], head):
            return Keep(COPY_NAMES[name])
        return keep

    def _is_needed_copy(self, name: str, head: bytes) -> bool:
        """Whether this copy of the whole message is the first to tell something."""
        if name == "message":
            return self._calls_tool or not self._message_known
        if name == "model_response":
            return not self._message_known
        return name == "entry_committed" and not self._message_known and not _USER_ENTRY.search(head)

    def _read(self, payload: bytes, name: str | None) -> Event | None:
        """`name`: of the event, where it was recognised without decoding."""
        envelope = _decode(payload)
        data = envelope.get("data")
        name = name or envelope.get("event")
        if not isinstance(data, dict) or not isinstance(name, str) or data.get("spawnPath"):
            return None
        if name == "execution_end":
            return self._end(data)
        if name == "error" and isinstance(data.get("error"), str):
            return failure_of(data["error"])
        if self._execution_ended:
            return None
        self._follow(name, data)
        parse = self._parsers.get(name) or COPIES.get(name)
        try:
            return parse(data) if parse else None
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None

    def _follow(self, name: str, data: Data) -> None:
        """Remembers what decides which of the later frames are needed, and what they leave out."""
        if self._execution_id is None:
            self._execution_id = text_of(data, "executionId") or None
        if name == "tick_start":
            self._message_known = self._calls_tool = False
        elif name in _MESSAGE_SIGNS:
            self._message_known = True
        elif name in ("tool_call_start", "tool_call"):
            self._calls_tool = True
        elif name == "spawn_start":
            self._children[text_of(data, "spawnId")] = text_of(data, "label") or text_of(data, "componentName")
        elif name == "spawn_end":
            data.setdefault("componentName", self._children.pop(text_of(data, "spawnId"), ""))

    def _read_end(self, payload: bytes, truncated: bool) -> Event | None:
        if not truncated:
            data = _decode(payload).get("data")
            return self._end(data) if isinstance(data, dict) else None
        front, found, _ = payload.partition(b',"output":')
        if not found:
            return None
        try:
            data = orjson.loads(front + b"}}")["data"]
        except (orjson.JSONDecodeError, KeyError):
            return None
        is_own = isinstance(data, dict) and data.get("executionId") == self._execution_id
        return self._end(data) if is_own else None

    def _end(self, data: Data) -> Event | None:
        if data.get("spawnPath"):
            return None
        if not data:
            return RunEnded()
        if error := data.get("error"):
            return failure_of(text_of(error, "message") if isinstance(error, dict) else str(error))
        if data.get("aborted"):
            return failure_of("Execution aborted")
        self._execution_ended = True
        self._shape = None
        return RunEnded() if self._resumed else None


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
