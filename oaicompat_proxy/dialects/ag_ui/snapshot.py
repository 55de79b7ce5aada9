"""The latest `MESSAGES_SNAPSHOT` of a run: the conversation so far, which may have what the agent has not streamed.

Source: AG-UI 1.1, `MESSAGES_SNAPSHOT`. LangGraph sends one at the end of each run. If its model does not stream, the
texts and the client's calls are only there; calls of the agent's own tools are streamed with their results. Only there,
too, is the result of the call that LangChain's `ToolStrategy` makes of an output that has a type.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ...core.errors import UpstreamError, UpstreamFrameTooLong
from ...core.events import Event, MessageCompleted, ToolCalled, ToolCallHandled
from .event_names import accepts_output
from .fields import Data, objects_of, plain_text, text_of
from .frames import decode
from .messages import Messages
from .schema import check
from .tool_calls import ToolCalls

NON_CONVERSATION_ROLES = {"activity", "reasoning"}
"""Roles of messages that are not part of the conversation."""


class LastMessage(NamedTuple):
    """The agent's message at the end of a conversation."""

    text: str
    calls: list[ToolCalled]
    results: dict[str, str]
    """Results behind the message, by the ids of its calls."""


class Snapshot:
    """Keeps the frame, and decodes it only if it may have what was not streamed."""

    def __init__(self, texts: Messages, calls: ToolCalls) -> None:
        """`texts`, `calls`: those that the agent has streamed."""
        self._texts = texts
        self._calls = calls
        # state
        self._frame: bytes | None = None
        self._is_too_long = False

    @property
    def is_wanted(self) -> bool:
        """Whether a snapshot may have the answer, or the result of a call that seems to be the client's."""
        return not self._texts.has_text or self._calls.has_unhandled

    @property
    def _has_answer(self) -> bool:
        return self._texts.has_text or self._calls.has_unhandled

    def keep(self, frame: bytes | None) -> None:
        """Keeps an undecoded frame in place of the one before; None if it was too long."""
        self._frame, self._is_too_long = frame, frame is None

    def drop(self) -> None:
        """The agent has streamed something newer."""
        self._frame = None

    def read(self, pending: Collection[str] = ()) -> list[Event]:
        """The events of what was not streamed. `pending`: ids of calls that the agent leaves to the client.

        Raises UpstreamError if the answer is only in the snapshot, and this is malformed or was too long.
        """
        try:
            last = self._find_last_message() if self.is_wanted else None
        except UpstreamError:
            if not self._has_answer:
                raise
            last = None
        return [] if last is None else self._read(last, pending)

    def _find_last_message(self) -> LastMessage | None:
        if self._is_too_long:
            raise UpstreamFrameTooLong(
                "The agent's answer stands only in a snapshot that is longer than a frame may be."
            )
        if self._frame is None:
            return None
        data = decode(self._frame)
        check("MESSAGES_SNAPSHOT", data)
        return find_last_message(data)

    def _read(self, last: LastMessage, pending: Collection[str]) -> list[Event]:
        text: list[Event] = []
        calls: list[Event] = []
        if not self._has_answer:
            text = [MessageCompleted(last.text, "", "", None)] if last.text else []
            calls = [call for call in last.calls if call.call_id not in last.results and not self._knows(call)]
        answered = [call for call in last.calls if call.call_id in last.results and call.call_id not in pending]
        results = [event for call in answered for event in self._read_result(call, last.results[call.call_id])]
        return [*text, *results, *calls]

    def _read_result(self, call: ToolCalled, result: str) -> list[Event]:
        """The result shows that the agent has handled the call, or that the call was its answer."""
        call_id = call.call_id
        if self._calls.is_answered(call_id):
            return []
        if not accepts_output(result):
            return self._calls.mark_as_handled(call_id)
        output = self._calls.take_output(call_id) or call.arguments
        return [ToolCallHandled(call_id), *self._texts.add_whole(call_id, output)]

    def _knows(self, call: ToolCalled) -> bool:
        """Whether the call was streamed."""
        return call.call_id in self._calls.open or self._calls.is_answered(call.call_id)


def find_last_message(data: Data) -> LastMessage | None:
    """The conversation's last message, if it is the agent's and nothing but results of its calls is behind it."""
    messages = [message for message in objects_of(data, "messages") if not message.get("subagentRunId")]
    conversation = [message for message in messages if message.get("role") not in NON_CONVERSATION_ROLES]
    results: dict[str, str] = {}
    while conversation and conversation[-1].get("role") == "tool":
        result = conversation.pop()
        results[text_of(result, "toolCallId")] = plain_text(result.get("content"))
    if not conversation or conversation[-1].get("role") != "assistant":
        return None
    calls = [_snapshot_call(call) for call in objects_of(conversation[-1], "toolCalls")]
    if not results.keys() <= {call.call_id for call in calls}:
        return None
    return LastMessage(text_of(conversation[-1], "content"), calls, results)


def _snapshot_call(call: Data) -> ToolCalled:
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    return ToolCalled(text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"))
