"""What an AG-UI agent says in answer to a run, read into events.

Source: AG-UI 1.0 (`ag-ui-protocol`), and what producers of the 0.x age still write.

A frame is `{"type":NAME,…}`; unknown names are skipped. State, activities, steps, raw and custom events are of no
use to an OpenAI client and are thrown away by NAME, without decoding; so are results of tools that are not told.
Events of sub-agents carry `subagentRunId`; they are never this run's. The last word is the first `RUN_FINISHED` or
`RUN_ERROR`: a stream may hold more runs, but an answer is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import orjson

from ...errors import UpstreamError
from ...events import (
    ChildEnded,
    Event,
    ReasoningDelta,
    ReasoningStarted,
    RunStarted,
    TextStarted,
    TickStarted,
)
from ...sse import HEAD, Frame, FrameReader, Keep
from .endings import read_end, read_error, read_snapshot
from .fields import Data, plain, text_of
from .interrupts import MAX_INTERRUPTS
from .messages import SPEAKER, Messages
from .names import ON_INTERRUPT, call_id_of, custom_name_of, name_of
from .tool_calls import ToolCalls


class EventReader:
    """Reads one run: `feed()` bytes as they come, take the events that they complete."""

    def __init__(self, *, max_frame: int, with_deeds: bool = False) -> None:
        """`max_frame`: bytes of the largest frame that may have to be decoded.

        `with_deeds`: also what the agent's own tools and sub-agents did.
        """
        self._longest_snapshot = max_frame - HEAD
        self._with_deeds = with_deeds
        self._frames = FrameReader(max_frame=max_frame, judge=self._judge)
        self._messages = Messages()
        self._calls = ToolCalls(with_deeds=with_deeds)
        # moving
        self.over = False
        """The agent has said its last word."""
        self.execution_id = ""
        """The run is called what the call called it."""
        self._answered = False
        """A tool's result has come, so what the model says next is another tick."""
        self._thought: str | None = None
        """The reasoning message that the short form has opened."""
        self._snapshot: bytes | None = None
        """The newest snapshot of the conversation, as long as the run has said nothing by itself."""
        self._customs: list[Data] = []
        """The `on_interrupt` events: what the run waits for, if its end does not say so itself."""
        self._children: dict[str, str] = {}
        """Names of sub-agents that run: only their beginning tells them."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end within `data`: lazy, so that those before a fault are not lost with it.

        Raises UpstreamError for a frame that cannot be understood or is too long.
        """
        for frame in self._frames.feed(data):
            if not self.over:
                yield from self._read(frame)

    def _judge(self, head: bytes) -> Keep | None:
        name = name_of(head)
        if name is None:
            return Keep(None)
        if name in _WHOLE and (name != b"TOOL_CALL_RESULT" or self._with_deeds or call_id_of(head) is None):
            return _WHOLE[name]
        if name == b"RUN_STARTED":
            return Keep("RUN_STARTED", HEAD)  # it may hold the whole request
        if name == b"TOOL_CALL_RESULT":
            return Keep("TOOL_CALL_RESULT", HEAD)
        if name == b"CUSTOM":
            return self._judge_custom(custom_name_of(head))
        if name == b"MESSAGES_SNAPSHOT" and self._silent:
            return Keep("MESSAGES_SNAPSHOT", self._longest_snapshot)
        return None

    def _judge_custom(self, name: bytes | None) -> Keep | None:
        if name is None:  # its name stands behind something long, as LangGraph writes it
            return Keep("CUSTOM", self._longest_snapshot)
        return Keep("CUSTOM") if name == ON_INTERRUPT else None

    @property
    def _silent(self) -> bool:
        """Nothing that an answer is made of has come yet."""
        return not (self._messages.said or self._calls.said)

    def _read(self, frame: Frame) -> Sequence[Event]:
        if frame.truncated or frame.tag == "MESSAGES_SNAPSHOT":
            data = {"type": frame.tag, "toolCallId": call_id_of(frame.data)}
        else:
            data = _decode(frame)
        name = text_of(data, "type")
        if name in _READERS and (name in _OF_ANYBODY or not data.get("subagentRunId")):
            return self._tell(name, data)
        if name == "RUN_STARTED":
            return (RunStarted(),)
        if name == "MESSAGES_SNAPSHOT":
            self._snapshot = None if frame.truncated else frame.data
        return ()

    def _tell(self, name: str, data: Data) -> Sequence[Event]:
        closed: list[Event] = []
        if name != "TEXT_MESSAGE_CHUNK":
            closed += self._messages.close_chunks()
        if name != "TOOL_CALL_CHUNK":
            closed += self._calls.close_chunks()
        try:
            told = _READERS[name](self, data)
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None
        return [each for event in closed + told for each in (*self._before(event), event)]

    def _before(self, event: Event) -> Sequence[Event]:
        """What it means for the rest of the run that the model speaks."""
        if not isinstance(event, TextStarted | ReasoningStarted):
            return ()
        told: list[Event] = [TickStarted()] if self._answered else []
        self._answered = False
        if isinstance(event, TextStarted):
            self._snapshot = None
            told += self._calls.settle_ended()
        return told

    # what the model says

    def _start_text(self, data: Data) -> list[Event]:
        return self._messages.start(text_of(data, "messageId"), text_of(data, "role") or SPEAKER)

    def _add_text(self, data: Data) -> list[Event]:
        return self._messages.add(text_of(data, "messageId"), text_of(data, "delta"))

    def _end_text(self, data: Data) -> list[Event]:
        return self._messages.end(text_of(data, "messageId"))

    def _chunk_text(self, data: Data) -> list[Event]:
        role = text_of(data, "role") or SPEAKER
        return self._messages.add_chunk(text_of(data, "messageId"), role, text_of(data, "delta"))

    def _start_thought(self, data: Data) -> list[Event]:
        self._thought = text_of(data, "messageId")
        return [ReasoningStarted()]

    def _add_thought(self, data: Data) -> list[Event]:
        return [ReasoningDelta(text_of(data, "delta"))]

    def _chunk_thought(self, data: Data) -> list[Event]:
        is_next = self._thought is None or text_of(data, "messageId") not in ("", self._thought)
        return [*(self._start_thought(data) if is_next else []), *self._add_thought(data)]

    # what it calls

    def _start_call(self, data: Data) -> list[Event]:
        return self._calls.start(text_of(data, "toolCallId"), text_of(data, "toolCallName"))

    def _add_arguments(self, data: Data) -> list[Event]:
        return self._calls.add(text_of(data, "toolCallId"), text_of(data, "delta"))

    def _end_call(self, data: Data) -> list[Event]:
        return self._calls.end(text_of(data, "toolCallId"))

    def _chunk_call(self, data: Data) -> list[Event]:
        name, delta = text_of(data, "toolCallName"), text_of(data, "delta")
        return self._calls.add_chunk(text_of(data, "toolCallId"), name, delta)

    def _read_result(self, data: Data) -> list[Event]:
        result = plain(data.get("content")) if self._with_deeds else ""
        return self._answer(text_of(data, "toolCallId"), result)

    def _answer(self, call_id: str, result: str) -> list[Event]:
        told = self._calls.answer(call_id, result)
        self._answered = self._answered or bool(told)
        return told

    # what its sub-agents do

    def _start_child(self, data: Data) -> list[Event]:
        if self._with_deeds and not data.get("parentSubagentRunId"):
            self._children[text_of(data, "subagentRunId")] = text_of(data, "name")
        return []

    def _end_child(self, data: Data) -> list[Event]:
        outcome = data.get("outcome")
        if isinstance(outcome, dict) and outcome.get("type") == "suspended":
            return []
        return self._tell_child(data, plain(data.get("result")), is_error=False)

    def _fail_child(self, data: Data) -> list[Event]:
        return self._tell_child(data, text_of(data, "message"), is_error=True)

    def _tell_child(self, data: Data, output: str, *, is_error: bool) -> list[Event]:
        name = self._children.pop(text_of(data, "subagentRunId"), None)
        return [] if name is None else [ChildEnded(name, output, is_error)]

    # how it ends

    def _read_custom(self, data: Data) -> list[Event]:
        if text_of(data, "name") == ON_INTERRUPT.decode() and len(self._customs) <= MAX_INTERRUPTS:
            self._customs.append(data)
        return []

    def _finish(self, data: Data) -> list[Event]:
        self.over = True
        told = self._messages.close()
        if self._silent and self._snapshot is not None:
            told += read_snapshot(_decode(Frame(self._snapshot)))
        return told + read_end(data, self._calls, self._customs, silent=self._silent and not told)

    def _fail(self, data: Data) -> list[Event]:
        self.over = True
        return [*self._messages.close(), read_error(data)]


_READERS: dict[str, Callable[[EventReader, Data], list[Event]]] = {
    "TEXT_MESSAGE_START": EventReader._start_text,
    "TEXT_MESSAGE_CONTENT": EventReader._add_text,
    "TEXT_MESSAGE_END": EventReader._end_text,
    "TEXT_MESSAGE_CHUNK": EventReader._chunk_text,
    "REASONING_MESSAGE_START": EventReader._start_thought,
    "REASONING_MESSAGE_CONTENT": EventReader._add_thought,
    "REASONING_MESSAGE_CHUNK": EventReader._chunk_thought,
    "THINKING_TEXT_MESSAGE_START": EventReader._start_thought,
    "THINKING_TEXT_MESSAGE_CONTENT": EventReader._add_thought,
    "TOOL_CALL_START": EventReader._start_call,
    "TOOL_CALL_ARGS": EventReader._add_arguments,
    "TOOL_CALL_END": EventReader._end_call,
    "TOOL_CALL_CHUNK": EventReader._chunk_call,
    "TOOL_CALL_RESULT": EventReader._read_result,
    "SUBAGENT_STARTED": EventReader._start_child,
    "SUBAGENT_FINISHED": EventReader._end_child,
    "SUBAGENT_ERROR": EventReader._fail_child,
    "CUSTOM": EventReader._read_custom,
    "RUN_FINISHED": EventReader._finish,
    "RUN_ERROR": EventReader._fail,
}

_OF_ANYBODY = {"SUBAGENT_STARTED", "SUBAGENT_FINISHED", "SUBAGENT_ERROR", "TOOL_CALL_RESULT", "CUSTOM"}
"""Read although a sub-agent may say it: a result is this run's if its call is, and the whole run waits with a child."""

_WHOLE = {name.encode(): Keep(name) for name in _READERS if name != "CUSTOM"}


def _decode(frame: Frame) -> Data:
    """The frame's JSON. Lone surrogates are kept: the other half may come with the next piece."""
    try:
        data = orjson.loads(frame.data)
    except orjson.JSONDecodeError:
        try:
            data = json.loads(frame.text)
        except (ValueError, RecursionError):
            raise UpstreamError("The agent sent an event that is no JSON.") from None
    return data if isinstance(data, dict) else {}
