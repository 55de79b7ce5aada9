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
from collections.abc import Iterator

import orjson

from ...errors import UpstreamError
from ...events import Event, RunEnded, RunFailed, TextDelta
from ...sse import HEAD, Frame, FrameReader, Keep
from .parsers import COPIES, DEEDS, PARSERS, Data, failure_of, text_of
from .plain_text import TextShape, check, learn

END_HEAD = 16 * 1024
"""Bytes of `execution_end` that are kept: what is needed stands before `output`, which holds the whole history."""

_NAME = re.compile(
    rb'\s*\{\s*(?:"(?:type|sessionId)"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*)*'
    rb'(?:"event"|"data"\s*:\s*\{\s*"type")\s*:\s*"([^"\\]*)"'
)
"""The name of the event, in any order of the keys in front of it."""

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
        self._frames = FrameReader(max_frame=max_frame, judge=self._judge)
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

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end within `data`: lazy, so that those before a fault are not lost with it.

        Raises UpstreamError for a frame that cannot be understood or is too long.
        """
        data, self._rest = self._rest + data, b""
        start = 0 if b"\r" not in data else len(data)
        yield from self._feed_any(data[:start])
        while start < len(data):
            is_whole = self._frames.between_frames
            if is_whole and self._shape is not None and len(data) <= self._max_frame:
                yield from self._feed_plain(data[start:], self._shape)
                return
            end = data.find(b"\n\n", start)
            if end < 0:
                yield from self._feed_any(data[start:])
                return
            frame = data[start:end]
            yield from self._feed_frame(frame) if is_whole else self._feed_any(frame + b"\n\n")
            start = end + 2

    def _feed_plain(self, data: bytes, shape: TextShape) -> Iterator[Event]:
        """Neighbouring frames of plain text as one event; every other frame the slow way."""
        found = None if self._execution_ended else shape.cut_all(data)
        if found is not None:
            deltas, end = found
            self._message_known = True
            yield deltas
            data = data[end:]
        *frames, rest = data.split(b"\n\n")
        plain: list[bytes] = []
        waiting: list[bytes] = []
        for frame in frames:
            text = shape.cut(frame)
            if text is None:
                if plain:
                    yield from self._tell(plain, waiting)
                    plain, waiting = [], []
                yield from self._feed_frame(frame)
            elif text:
                plain.append(text)
                waiting.append(frame)
            elif not self._execution_ended:
                self._message_known = True
        if plain:
            yield from self._tell(plain, waiting)
        if shape.may_become(rest):
            self._rest = rest
        else:
            yield from self._feed_any(rest)

    def _tell(self, plain: list[bytes], frames: list[bytes]) -> Iterator[Event]:
        deltas = None if self._execution_ended else check(plain)
        if deltas is not None:
            self._message_known = True
            yield deltas
            return
        for frame in frames:
            yield from self._feed_frame(frame)

    def _feed_frame(self, frame: bytes) -> Iterator[Event]:
        """A whole frame, without its end. Nearly always it is one line, which needs no search for lines."""
        if not frame.startswith(b"data: ") or b"\n" in frame or len(frame) > self._max_frame:
            yield from self._feed_any(frame + b"\n\n")
            return
        keep = self._judge(frame[6 : 6 + HEAD])
        if keep is not None:
            limit = keep.limit if keep.limit is not None else len(frame)
            yield from self._tell_event(Frame(frame[6 : 6 + limit], keep.tag, len(frame) - 6 > limit))

    def _feed_any(self, data: bytes) -> Iterator[Event]:
        for frame in self._frames.feed(data):
            yield from self._tell_event(frame)

    def _tell_event(self, frame: Frame) -> Iterator[Event]:
        event = self._read(frame)
        if event is not None:
            self.over = self.over or isinstance(event, RunEnded | RunFailed)
            if type(event) is TextDelta and event.text and self._execution_id is not None:
                self._shape = learn(frame.data, event.text)
            yield event

    def _judge(self, head: bytes) -> Keep | None:
        match = _NAME.match(head)
        if match is None:
            return Keep(None)
        name = match[1].decode("utf-8", "replace")
        if name == "execution_end":
            return Keep(name, END_HEAD)
        if name in self._parsers or self._is_needed_copy(name, head):
            return Keep(name)
        return None

    def _is_needed_copy(self, name: str, head: bytes) -> bool:
        """Whether this copy of the whole message is the first to tell something."""
        if name == "message":
            return self._calls_tool or not self._message_known
        if name == "model_response":
            return not self._message_known
        return name == "entry_committed" and not self._message_known and not _USER_ENTRY.search(head)

    def _read(self, frame: Frame) -> Event | None:
        if frame.tag == "execution_end":
            return self._read_end(frame)
        envelope = _decode(frame)
        data = envelope.get("data")
        name = frame.tag or envelope.get("event")
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

    def _read_end(self, frame: Frame) -> Event | None:
        if not frame.truncated:
            envelope = _decode(frame)
            data = envelope.get("data", {})
            return self._end(data) if isinstance(data, dict) else None
        front, found, _ = frame.data.partition(b',"output":')
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
        return RunEnded() if self._resumed else None


def _decode(frame: Frame) -> Data:
    """The frame's JSON. Lone surrogates are kept: the other half may come with the next piece."""
    try:
        envelope = orjson.loads(frame.data)
    except orjson.JSONDecodeError:
        try:
            envelope = json.loads(frame.text)
        except (ValueError, RecursionError):
            raise UpstreamError("The agent sent an event that is no JSON.") from None
    return envelope if isinstance(envelope, dict) else {}
