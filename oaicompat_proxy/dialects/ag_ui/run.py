"""Reads the events of one AG-UI run into neutral events.

Source: AG-UI 1.1, and the older forms of producers of versions 0.x. Events with `subagentRunId` belong to a sub-agent,
and so do events without this field that continue a sub-agent's message or call. They never become part of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ...core.errors import UpstreamError
from ...core.events import (
    Event,
    MessageCompleted,
    ReasoningDelta,
    ReasoningStarted,
    TextDelta,
    TextStarted,
    TickStarted,
    ToolCalled,
    ToolCallHandled,
    ToolCallStarted,
)
from .chunks import ChunkStreams
from .endings import pending_of, read_end, stop_reason_of
from .event_names import AGENT_STOPPED, ON_INTERRUPT, accepts_output
from .fields import Data, plain_text, text_of
from .interrupts import MAX_INTERRUPTS
from .limits import SizeLimit
from .messages import ASSISTANT, Messages
from .snapshot import Snapshot
from .subagents import Subagents
from .tool_calls import ToolCalls

MAX_INTERRUPT_EVENTS = 4 * 1024 * 1024
"""Characters of all `on_interrupt` events as JSON, at most."""


class RunEvents:
    """State of one run. `read` takes its events one by one, `finish` its `RUN_FINISHED`."""

    def __init__(self, *, include_tool_activity: bool) -> None:
        self._include_tool_activity = include_tool_activity
        text_chunks = ChunkStreams("TEXT_MESSAGE_CHUNK", "messageId", "role")
        reasoning_chunks = ChunkStreams("REASONING_MESSAGE_CHUNK", "messageId")
        call_chunks = ChunkStreams("TOOL_CALL_CHUNK", "toolCallId", "toolCallName")
        self._open_chunks = (text_chunks.open, reasoning_chunks.open, call_chunks.open)
        self._texts = Messages(lambda is_new: [TextStarted(is_new)], TextDelta, text_chunks)
        self._reasoning = Messages(lambda new: [ReasoningStarted()] if new else [], ReasoningDelta, reasoning_chunks)
        self._calls = ToolCalls(call_chunks, include_tool_activity=include_tool_activity)
        self._subagents = Subagents(are_shown=include_tool_activity)
        self._interrupt_limit = SizeLimit(MAX_INTERRUPT_EVENTS, "questions")
        # state
        self._has_tool_result = False
        """A tool result has arrived, so the model's next message is another tick."""
        self._thinking_count = 0
        """Number of `THINKING_TEXT_MESSAGE_START` events of versions 0.x, which have no ids."""
        self._snapshot = Snapshot(self._texts, self._calls)
        self._interrupt_events: list[Data] = []
        """The `on_interrupt` events, which are used if `RUN_FINISHED` has no interrupts itself."""
        self._stop_reason = ""

    @property
    def is_silent(self) -> bool:
        """Whether no message or tool call has begun yet."""
        return not (self._texts.has_messages or self._calls.has_calls)

    @property
    def wants_snapshot(self) -> bool:
        """Whether a snapshot may have something that was not streamed. What was streamed cannot be taken back."""
        return self._snapshot.is_wanted

    def keep_snapshot(self, frame: bytes | None) -> None:
        """Keeps an undecoded `MESSAGES_SNAPSHOT`; None if it was too long."""
        self._snapshot.keep(frame)

    def read(self, name: str, data: Data) -> list[Event]:
        """`data`: has passed `schema.check`. Raises UpstreamError if the events contradict each other."""
        owner = text_of(data, "subagentRunId")
        events = self._close_chunks(name, owner)
        events += _READERS[name](self, data, owner)
        return [each for event in events for each in (*self._events_before(event), event)]

    def add_plain_text(self, message_id: str, delta: str) -> tuple[Event] | None:
        """The event of the active message's next delta; None if the AG-UI event has to be read in full."""
        texts, reasoning, calls = self._open_chunks
        if texts or reasoning or calls or message_id != self._texts.active:
            return None
        return (TextDelta(delta),)

    def finish(self, data: Data) -> list[Event]:
        """`RUN_FINISHED`.

        Raises UpstreamError if a sub-agent still runs, a call has no name, or the snapshot that is needed is malformed.
        """
        if self._subagents.are_running:
            raise UpstreamError("The agent finished its run while a sub-agent of it was still running.")
        if self._calls.has_unnamed:
            raise UpstreamError("The agent finished its run with a tool call that it has not begun.")
        events = [*self._texts.close(), *self._reasoning.close()]
        missing = self._snapshot.read(pending_of(data))
        silent = not (missing or self._texts.has_text or self._calls.has_unhandled)
        reason = stop_reason_of(data) or self._stop_reason
        ending = read_end(data, self._calls, self._interrupt_events, silent=silent, stop_reason=reason)
        return [each for event in events + missing for each in (*self._events_before(event), event)] + ending

    def fail(self) -> list[Event]:
        """The events that were still buffered when the run failed."""
        return self._texts.close()

    def _close_chunks(self, name: str, owner: str) -> list[Event]:
        """Ends the owner's open chunk items, unless this event may continue them."""
        events: list[Event] = []
        texts, reasoning, calls = self._open_chunks
        if texts and name != "TEXT_MESSAGE_CHUNK":
            events += self._texts.close_chunk(owner)
        if reasoning and name != "REASONING_MESSAGE_CHUNK":
            events += self._reasoning.close_chunk(owner)
        if calls and name != "TOOL_CALL_CHUNK":
            events += self._calls.close_chunk(owner)
        return events

    def _events_before(self, event: Event) -> list[Event]:
        """The events that a new message of the model implies."""
        if isinstance(event, TextStarted | ToolCallStarted):
            self._snapshot.drop()
        if not isinstance(event, TextStarted | ReasoningStarted | MessageCompleted | ToolCalled):
            return []
        events: list[Event] = [TickStarted()] if self._has_tool_result else []
        self._has_tool_result = False
        if isinstance(event, TextStarted):
            events += self._calls.mark_ended_as_handled()
        return events

    # messages of the model

    def _start_text(self, data: Data, owner: str) -> list[Event]:
        self._read_stop_reason(data, owner)
        hidden = bool(owner) or (data.get("role") or ASSISTANT) != ASSISTANT
        if owner:
            self._texts.check_owner(data["messageId"])
        return self._texts.start(data["messageId"], hidden=hidden)

    def _add_text(self, data: Data, owner: str) -> list[Event]:
        if len(data) > 3:
            self._read_stop_reason(data, owner)
        if owner:
            self._texts.check_owner(data["messageId"])
            return []
        return self._texts.add(data["messageId"], data["delta"])

    def _end_text(self, data: Data, owner: str) -> list[Event]:
        self._read_stop_reason(data, owner)
        if owner:
            self._texts.check_owner(data["messageId"])
        return self._texts.end(data["messageId"])

    def _chunk_text(self, data: Data, owner: str) -> list[Event]:
        self._read_stop_reason(data, owner)
        role, delta = text_of(data, "role"), text_of(data, "delta")
        return self._texts.add_chunk(data.get("messageId"), delta, role=role, owner=owner)

    def _read_stop_reason(self, data: Data, owner: str) -> None:
        if not owner:
            self._stop_reason = stop_reason_of(data) or self._stop_reason

    def _start_reasoning(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._reasoning.check_owner(data["messageId"])
        return self._reasoning.start(data["messageId"], hidden=bool(owner))

    def _add_reasoning(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._reasoning.check_owner(data["messageId"])
            return []
        return self._reasoning.add(data["messageId"], data["delta"])

    def _end_reasoning(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._reasoning.check_owner(data["messageId"])
        return self._reasoning.end(data["messageId"])

    def _chunk_reasoning(self, data: Data, owner: str) -> list[Event]:
        return self._reasoning.add_chunk(data.get("messageId"), text_of(data, "delta"), owner=owner)

    def _start_thinking(self, _data: Data, owner: str) -> list[Event]:
        if owner:
            return []
        ended = self._reasoning.end(self._thinking_id)
        self._thinking_count += 1
        return ended + self._reasoning.start(self._thinking_id)

    @property
    def _thinking_id(self) -> str:
        return f"thinking {self._thinking_count}"

    def _add_thinking(self, data: Data, owner: str) -> list[Event]:
        return [] if owner else self._reasoning.add(self._thinking_id, data["delta"])

    def _end_thinking(self, _data: Data, owner: str) -> list[Event]:
        return [] if owner else self._reasoning.end(self._thinking_id)

    # tool calls

    def _start_call(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._calls.check_owner(data["toolCallId"])
        hidden = bool(owner) or self._is_in_hidden(data)
        return self._calls.start(data["toolCallId"], data["toolCallName"], hidden=hidden)

    def _add_arguments(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._calls.check_owner(data["toolCallId"])
            return []
        return self._calls.add(data["toolCallId"], data["delta"])

    def _end_call(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._calls.check_owner(data["toolCallId"])
        return self._calls.end(data["toolCallId"])

    def _chunk_call(self, data: Data, owner: str) -> list[Event]:
        name, delta = text_of(data, "toolCallName"), text_of(data, "delta")
        hidden = self._is_in_hidden(data)
        return self._calls.add_chunk(data.get("toolCallId"), name, delta, owner=owner, hidden=hidden)

    def _is_in_hidden(self, data: Data) -> bool:
        """Whether the call belongs to a message of a sub-agent."""
        return self._texts.is_hidden(text_of(data, "parentMessageId"))

    def _read_result(self, data: Data, _owner: str) -> list[Event]:
        """A result belongs to this run if its call does, even if a sub-agent sends it."""
        call_id, content = data["toolCallId"], data.get("content")
        if accepts_output(content) and (output := self._calls.take_output(call_id)):
            return [ToolCallHandled(call_id), *self._texts.add_whole(call_id, output)]
        events = self._calls.answer(call_id, plain_text(content) if self._include_tool_activity else "")
        self._has_tool_result = self._has_tool_result or bool(events)
        return events

    # custom events of frameworks

    def _read_custom(self, data: Data, owner: str) -> list[Event]:
        """An interrupt of a sub-agent suspends the whole run; the stop reason of a sub-agent's model is ignored."""
        name, value = data["name"], data.get("value")
        if name == ON_INTERRUPT and len(self._interrupt_events) <= MAX_INTERRUPTS:
            self._interrupt_limit.add(json.dumps(data))
            self._interrupt_events.append(data)
        elif name == AGENT_STOPPED and not owner and isinstance(value, dict):
            self._stop_reason = stop_reason_of({"metadata": {"finishReason": value.get("stop_reason")}})
        return []


_READERS: dict[str, Callable[[RunEvents, Data, str], list[Event]]] = {
    "TEXT_MESSAGE_START": RunEvents._start_text,
    "TEXT_MESSAGE_CONTENT": RunEvents._add_text,
    "TEXT_MESSAGE_END": RunEvents._end_text,
    "TEXT_MESSAGE_CHUNK": RunEvents._chunk_text,
    "REASONING_MESSAGE_START": RunEvents._start_reasoning,
    "REASONING_MESSAGE_CONTENT": RunEvents._add_reasoning,
    "REASONING_MESSAGE_END": RunEvents._end_reasoning,
    "REASONING_MESSAGE_CHUNK": RunEvents._chunk_reasoning,
    "THINKING_TEXT_MESSAGE_START": RunEvents._start_thinking,
    "THINKING_TEXT_MESSAGE_CONTENT": RunEvents._add_thinking,
    "THINKING_TEXT_MESSAGE_END": RunEvents._end_thinking,
    "TOOL_CALL_START": RunEvents._start_call,
    "TOOL_CALL_ARGS": RunEvents._add_arguments,
    "TOOL_CALL_END": RunEvents._end_call,
    "TOOL_CALL_CHUNK": RunEvents._chunk_call,
    "TOOL_CALL_RESULT": RunEvents._read_result,
    "SUBAGENT_STARTED": lambda self, data, owner: self._subagents.start(data, owner),
    "SUBAGENT_FINISHED": lambda self, data, owner: self._subagents.end(data, owner),
    "SUBAGENT_ERROR": lambda self, data, owner: self._subagents.fail(data, owner),
    "CUSTOM": RunEvents._read_custom,
}

RUN_EVENTS = frozenset(_READERS)
"""Names of the events that `RunEvents.read` accepts."""
