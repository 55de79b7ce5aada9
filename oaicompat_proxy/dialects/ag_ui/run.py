"""The events of one AG-UI run, read into ours.

Source: AG-UI 1.1, and what producers of the 0.x age still write. Events with `subagentRunId` are a sub-agent's, as are
those that continue its messages and calls without that mark: they never become the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ...core.errors import UpstreamError, UpstreamFrameTooLong
from ...core.events import ChildEnded, Event, ReasoningDelta, ReasoningStarted, TextDelta, TextStarted, TickStarted
from .chunks import ChunkStreams
from .endings import read_end, read_snapshot, stop_reason_of
from .event_names import AGENT_STOPPED, ON_INTERRUPT
from .fields import Data, plain, text_of
from .frames import decode
from .interrupts import MAX_INTERRUPTS
from .limits import Budget
from .messages import ASSISTANT, Messages
from .schema import check
from .tool_calls import ToolCalls

MOST_CHILDREN = 1024 * 1024
"""Characters of the ids and names of all sub-agents that run at a time."""

MOST_ASKED = 4 * 1024 * 1024
"""Characters of all `on_interrupt` events, as JSON."""


class RunEvents:
    """Follows one run. `read` its events one by one; `finish` takes its `RUN_FINISHED`."""

    def __init__(self, *, with_deeds: bool) -> None:
        self._with_deeds = with_deeds
        text_chunks = ChunkStreams("TEXT_MESSAGE_CHUNK", "messageId", "role")
        thought_chunks = ChunkStreams("REASONING_MESSAGE_CHUNK", "messageId")
        call_chunks = ChunkStreams("TOOL_CALL_CHUNK", "toolCallId", "toolCallName")
        self._open_chunks = (text_chunks.open, thought_chunks.open, call_chunks.open)
        self._texts = Messages(lambda is_another: [TextStarted(is_another)], TextDelta, text_chunks)
        self._thoughts = Messages(
            lambda is_another: [ReasoningStarted()] if is_another else [], ReasoningDelta, thought_chunks
        )
        self._calls = ToolCalls(call_chunks, with_deeds=with_deeds)
        self._child_budget = Budget(MOST_CHILDREN, "running sub-agents")
        self._question_budget = Budget(MOST_ASKED, "questions")
        # moving
        self._answered = False
        """A tool's result has come, so what the model says next is another tick."""
        self._nameless_thoughts = 0
        """Of the 0.x age: they have no ids."""
        self._snapshot: bytes | None = None
        """The newest snapshot of the conversation, as long as the run has said nothing by itself."""
        self._lacks_snapshot = False
        """It was too long."""
        self._children: dict[str, str] = {}
        """Names of sub-agents that run, by their ids; empty for those that are not told."""
        self._customs: list[Data] = []
        """The `on_interrupt` events: what the run waits for, if its end does not say so itself."""
        self._stop_reason = ""

    @property
    def is_silent(self) -> bool:
        """Nothing that an answer is made of has come yet."""
        return not (self._texts.said or self._calls.said)

    def keep_snapshot(self, frame: bytes | None) -> None:
        """`MESSAGES_SNAPSHOT`, not decoded yet; None if it was too long."""
        self._snapshot, self._lacks_snapshot = frame, frame is None

    def read(self, name: str, data: Data) -> list[Event]:
        """`data`: has passed `schema.check`. Raises UpstreamError where the events contradict each other."""
        owner = text_of(data, "subagentRunId")
        told = self._close_chunks(name, owner)
        told += _READERS[name](self, data, owner)
        return [each for event in told for each in (*self._before(event), event)]

    def add_plain_text(self, message_id: str, delta: str) -> tuple[Event] | None:
        """The next piece of the active message, if nothing else has to be thought of."""
        texts, thoughts, calls = self._open_chunks
        if texts or thoughts or calls or message_id != self._texts.active:
            return None
        return (TextDelta(delta),)

    def finish(self, data: Data) -> list[Event]:
        """`RUN_FINISHED`. Raises UpstreamError if sub-agents still run, or the snapshot that is needed is malformed."""
        if self._children:
            raise UpstreamError("The agent finished its run while a sub-agent of it was still running.")
        told = [*self._texts.close(), *self._thoughts.close()]
        if self.is_silent and self._lacks_snapshot:
            raise UpstreamFrameTooLong(
                "The agent's answer stands only in a snapshot that is longer than a frame may be."
            )
        if self.is_silent and self._snapshot is not None:
            told += read_snapshot(_decode_snapshot(self._snapshot))
        reason = stop_reason_of(data) or self._stop_reason
        return told + read_end(data, self._calls, self._customs, silent=self.is_silent and not told, stop_reason=reason)

    def fail(self) -> list[Event]:
        """What was still held when the run failed."""
        return self._texts.close()

    def _close_chunks(self, name: str, owner: str) -> list[Event]:
        """An event of another kind ends the short form of the same owner."""
        told: list[Event] = []
        texts, thoughts, calls = self._open_chunks
        if texts and name != "TEXT_MESSAGE_CHUNK":
            told += self._texts.close_chunk(owner)
        if thoughts and name != "REASONING_MESSAGE_CHUNK":
            told += self._thoughts.close_chunk(owner)
        if calls and name != "TOOL_CALL_CHUNK":
            told += self._calls.close_chunk(owner)
        return told

    def _before(self, event: Event) -> list[Event]:
        """What it means for the rest of the run that the model speaks."""
        if not isinstance(event, TextStarted | ReasoningStarted):
            return []
        told: list[Event] = [TickStarted()] if self._answered else []
        self._answered = False
        if isinstance(event, TextStarted):
            self._snapshot = None
            told += self._calls.settle_ended()
        return told

    # what the model says

    def _start_text(self, data: Data, owner: str) -> list[Event]:
        self._note_metadata(data, owner)
        hidden = bool(owner) or (data.get("role") or ASSISTANT) != ASSISTANT
        if owner:
            self._texts.check_owner(data["messageId"])
        return self._texts.start(data["messageId"], hidden=hidden)

    def _add_text(self, data: Data, owner: str) -> list[Event]:
        if len(data) > 3:
            self._note_metadata(data, owner)
        if owner:
            self._texts.check_owner(data["messageId"])
            return []
        return self._texts.add(data["messageId"], data["delta"])

    def _end_text(self, data: Data, owner: str) -> list[Event]:
        self._note_metadata(data, owner)
        if owner:
            self._texts.check_owner(data["messageId"])
        return self._texts.end(data["messageId"])

    def _chunk_text(self, data: Data, owner: str) -> list[Event]:
        self._note_metadata(data, owner)
        role, delta = text_of(data, "role"), text_of(data, "delta")
        return self._texts.add_chunk(data.get("messageId"), delta, role=role, owner=owner)

    def _note_metadata(self, data: Data, owner: str) -> None:
        if not owner:
            self._stop_reason = stop_reason_of(data) or self._stop_reason

    def _start_thought(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._thoughts.check_owner(data["messageId"])
        return self._thoughts.start(data["messageId"], hidden=bool(owner))

    def _add_thought(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._thoughts.check_owner(data["messageId"])
            return []
        return self._thoughts.add(data["messageId"], data["delta"])

    def _end_thought(self, data: Data, owner: str) -> list[Event]:
        if owner:
            self._thoughts.check_owner(data["messageId"])
        return self._thoughts.end(data["messageId"])

    def _chunk_thought(self, data: Data, owner: str) -> list[Event]:
        return self._thoughts.add_chunk(data.get("messageId"), text_of(data, "delta"), owner=owner)

    def _start_nameless(self, _data: Data, owner: str) -> list[Event]:
        if owner:
            return []
        ended = self._thoughts.end(self._nameless)
        self._nameless_thoughts += 1
        return ended + self._thoughts.start(self._nameless)

    @property
    def _nameless(self) -> str:
        return f"thinking {self._nameless_thoughts}"

    def _add_nameless(self, data: Data, owner: str) -> list[Event]:
        return [] if owner else self._thoughts.add(self._nameless, data["delta"])

    def _end_nameless(self, _data: Data, owner: str) -> list[Event]:
        return [] if owner else self._thoughts.end(self._nameless)

    # what it calls

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
        """Whoever says it: a result is this run's if its call is."""
        told = self._calls.answer(data["toolCallId"], plain(data.get("content")) if self._with_deeds else "")
        self._answered = self._answered or bool(told)
        return told

    # what its sub-agents do

    def _start_child(self, data: Data, owner: str) -> list[Event]:
        name = data["name"] if self._with_deeds and not data.get("parentSubagentRunId") else ""
        if owner not in self._children:
            self._child_budget.take(owner + name)
            self._children[owner] = name
        return []

    def _end_child(self, data: Data, owner: str) -> list[Event]:
        name, outcome = self._forget_child(owner), data.get("outcome")
        is_told = name and (outcome is None or outcome["type"] != "suspended")
        return [ChildEnded(name, plain(data.get("result")), False)] if is_told else []

    def _fail_child(self, data: Data, owner: str) -> list[Event]:
        return [ChildEnded(name, data["message"], True)] if (name := self._forget_child(owner)) else []

    def _forget_child(self, child: str) -> str:
        if child not in self._children:
            raise UpstreamError("The agent told the end of a sub-agent whose beginning it had not told.")
        name = self._children.pop(child)
        self._child_budget.give_back(child + name)
        return name

    # what frameworks say beside the protocol

    def _read_custom(self, data: Data, owner: str) -> list[Event]:
        """The whole run waits with a sub-agent; but why a sub-agent's model stopped is its own affair."""
        name, value = data["name"], data.get("value")
        if name == ON_INTERRUPT.decode() and len(self._customs) <= MAX_INTERRUPTS:
            self._question_budget.take(json.dumps(data))
            self._customs.append(data)
        elif name == AGENT_STOPPED.decode() and not owner and isinstance(value, dict):
            self._stop_reason = stop_reason_of({"metadata": {"finishReason": value.get("stop_reason")}})
        return []


_READERS: dict[str, Callable[[RunEvents, Data, str], list[Event]]] = {
    "TEXT_MESSAGE_START": RunEvents._start_text,
    "TEXT_MESSAGE_CONTENT": RunEvents._add_text,
    "TEXT_MESSAGE_END": RunEvents._end_text,
    "TEXT_MESSAGE_CHUNK": RunEvents._chunk_text,
    "REASONING_MESSAGE_START": RunEvents._start_thought,
    "REASONING_MESSAGE_CONTENT": RunEvents._add_thought,
    "REASONING_MESSAGE_END": RunEvents._end_thought,
    "REASONING_MESSAGE_CHUNK": RunEvents._chunk_thought,
    "THINKING_TEXT_MESSAGE_START": RunEvents._start_nameless,
    "THINKING_TEXT_MESSAGE_CONTENT": RunEvents._add_nameless,
    "THINKING_TEXT_MESSAGE_END": RunEvents._end_nameless,
    "TOOL_CALL_START": RunEvents._start_call,
    "TOOL_CALL_ARGS": RunEvents._add_arguments,
    "TOOL_CALL_END": RunEvents._end_call,
    "TOOL_CALL_CHUNK": RunEvents._chunk_call,
    "TOOL_CALL_RESULT": RunEvents._read_result,
    "SUBAGENT_STARTED": RunEvents._start_child,
    "SUBAGENT_FINISHED": RunEvents._end_child,
    "SUBAGENT_ERROR": RunEvents._fail_child,
    "CUSTOM": RunEvents._read_custom,
}

RUN_EVENTS = frozenset(_READERS)
"""Names of the events that `RunEvents.read` takes."""


def _decode_snapshot(frame: bytes) -> Data:
    data = decode(frame)
    check("MESSAGES_SNAPSHOT", data)
    return data
