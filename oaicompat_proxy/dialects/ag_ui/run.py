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
    ReasoningDelta,
    ReasoningStarted,
    SubagentFinished,
    TextDelta,
    TextStarted,
    TickStarted,
    ToolCallHandled,
    ToolCallStarted,
)
from .chunks import ChunkStreams
from .endings import read_end, stop_reason_of
from .event_names import AGENT_STOPPED, ON_INTERRUPT, OUTPUT_ACCEPTED
from .fields import Data, plain_text, text_of
from .interrupts import MAX_INTERRUPTS
from .limits import SizeLimit
from .messages import ASSISTANT, Messages
from .snapshot import Snapshot
from .tool_calls import ToolCalls

MAX_SUBAGENTS = 1024 * 1024
"""Characters of the ids and names of all running sub-agents, at most."""

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
        self._subagent_limit = SizeLimit(MAX_SUBAGENTS, "running sub-agents")
        self._interrupt_limit = SizeLimit(MAX_INTERRUPT_EVENTS, "questions")
        # state
        self._has_tool_result = False
        """A tool result has arrived, so the model's next message is another tick."""
        self._thinking_count = 0
        """Number of `THINKING_TEXT_MESSAGE_START` events of versions 0.x, which have no ids."""
        self._snapshot = Snapshot()
        self._subagents: dict[str, str] = {}
        """Names of running sub-agents by their ids; empty for those that are not shown."""
        self._interrupt_events: list[Data] = []
        """The `on_interrupt` events, which are used if `RUN_FINISHED` has no interrupts itself."""
        self._stop_reason = ""

    @property
    def is_silent(self) -> bool:
        """Whether no message or tool call has begun yet."""
        return not (self._texts.has_messages or self._calls.has_calls)

    @property
    def has_text(self) -> bool:
        """Whether a message of the agent has begun. It cannot be taken back, so snapshots no longer count."""
        return self._texts.has_messages

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
        """`RUN_FINISHED`. Raises UpstreamError if sub-agents still run, or the snapshot that is needed is malformed."""
        if self._subagents:
            raise UpstreamError("The agent finished its run while a sub-agent of it was still running.")
        events = [*self._texts.close(), *self._reasoning.close()]
        silent = not (self.has_text or self._calls.has_unhandled)
        if silent:
            events += self._read_snapshot()
        silent, reason = silent and not events, stop_reason_of(data) or self._stop_reason
        return events + read_end(data, self._calls, self._interrupt_events, silent=silent, stop_reason=reason)

    def fail(self) -> list[Event]:
        """The events that were still buffered when the run failed."""
        return self._texts.close()

    def _read_snapshot(self) -> list[Event]:
        events = self._snapshot.read(self._calls.knows)
        return [TickStarted(), *events] if events and self._has_tool_result else events

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
        if not isinstance(event, TextStarted | ReasoningStarted):
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
        is_childs = bool(owner) or self._texts.is_hidden(text_of(data, "parentMessageId"))
        return self._calls.start(data["toolCallId"], data["toolCallName"], hidden=is_childs)

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
        return self._calls.add_chunk(data.get("toolCallId"), name, delta, owner=owner)

    def _read_result(self, data: Data, _owner: str) -> list[Event]:
        """A result belongs to this run if its call does, even if a sub-agent sends it."""
        call_id, content = data["toolCallId"], data.get("content")
        if content == OUTPUT_ACCEPTED and (output := self._calls.take_output(call_id)):
            return [ToolCallHandled(call_id), *self._texts.add_whole(call_id, output)]
        events = self._calls.answer(call_id, plain_text(content) if self._include_tool_activity else "")
        self._has_tool_result = self._has_tool_result or bool(events)
        return events

    # sub-agents

    def _start_subagent(self, data: Data, owner: str) -> list[Event]:
        name = data["name"] if self._include_tool_activity and not data.get("parentSubagentRunId") else ""
        if owner not in self._subagents:
            self._subagent_limit.add(owner + name)
            self._subagents[owner] = name
        return []

    def _end_subagent(self, data: Data, owner: str) -> list[Event]:
        name, outcome = self._remove_subagent(owner), data.get("outcome")
        is_shown = name and (outcome is None or outcome["type"] != "suspended")
        return [SubagentFinished(name, plain_text(data.get("result")), False)] if is_shown else []

    def _fail_subagent(self, data: Data, owner: str) -> list[Event]:
        return [SubagentFinished(name, data["message"], True)] if (name := self._remove_subagent(owner)) else []

    def _remove_subagent(self, subagent_id: str) -> str:
        if subagent_id not in self._subagents:
            raise UpstreamError("The agent sent the end of a sub-agent without its beginning.")
        name = self._subagents.pop(subagent_id)
        self._subagent_limit.remove(subagent_id + name)
        return name

    # custom events of frameworks

    def _read_custom(self, data: Data, owner: str) -> list[Event]:
        """An interrupt of a sub-agent suspends the whole run; the stop reason of a sub-agent's model is ignored."""
        name, value = data["name"], data.get("value")
        if name == ON_INTERRUPT.decode() and len(self._interrupt_events) <= MAX_INTERRUPTS:
            self._interrupt_limit.add(json.dumps(data))
            self._interrupt_events.append(data)
        elif name == AGENT_STOPPED.decode() and not owner and isinstance(value, dict):
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
    "SUBAGENT_STARTED": RunEvents._start_subagent,
    "SUBAGENT_FINISHED": RunEvents._end_subagent,
    "SUBAGENT_ERROR": RunEvents._fail_subagent,
    "CUSTOM": RunEvents._read_custom,
}

RUN_EVENTS = frozenset(_READERS)
"""Names of the events that `RunEvents.read` accepts."""
