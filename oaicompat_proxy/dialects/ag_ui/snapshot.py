"""The latest `MESSAGES_SNAPSHOT` of a run: the conversation so far, which has the answer if the agent streams no text.

Source: AG-UI 1.1, `MESSAGES_SNAPSHOT`. LangGraph sends one at the end of each run. If its model does not stream, the
texts and the client's calls are only there; calls of the agent's own tools are streamed with their results.
"""

from __future__ import annotations

from collections.abc import Callable

from ...core.errors import UpstreamFrameTooLong
from ...core.events import Event, MessageCompleted, ToolCalled
from .fields import Data, objects_of, text_of
from .frames import decode
from .schema import check

NON_CONVERSATION_ROLES = {"activity", "reasoning"}
"""Roles of messages that are not part of the conversation."""


class Snapshot:
    """Keeps the frame, and decodes it only if it is the answer."""

    def __init__(self) -> None:
        # state
        self._frame: bytes | None = None
        self._is_too_long = False

    def keep(self, frame: bytes | None) -> None:
        """Keeps an undecoded frame in place of the one before; None if it was too long."""
        self._frame, self._is_too_long = frame, frame is None

    def drop(self) -> None:
        """The agent has streamed something newer."""
        self._frame = None

    def read(self, is_streamed: Callable[[str], bool]) -> list[Event]:
        """The events of the answer, without the calls that were streamed, by their ids.

        Raises UpstreamError if the snapshot is malformed or was too long.
        """
        if self._is_too_long:
            raise UpstreamFrameTooLong(
                "The agent's answer stands only in a snapshot that is longer than a frame may be."
            )
        if self._frame is None:
            return []
        data = decode(self._frame)
        check("MESSAGES_SNAPSHOT", data)
        return [
            each for each in read_snapshot(data) if not (isinstance(each, ToolCalled) and is_streamed(each.call_id))
        ]


def read_snapshot(data: Data) -> list[Event]:
    """The text and the tool calls of the conversation's last message, if it is the agent's."""
    messages = [message for message in objects_of(data, "messages") if not message.get("subagentRunId")]
    conversation = [message for message in messages if message.get("role") not in NON_CONVERSATION_ROLES]
    if not conversation or conversation[-1].get("role") != "assistant":
        return []
    calls = [_snapshot_call(call) for call in objects_of(conversation[-1], "toolCalls")]
    return [MessageCompleted(text_of(conversation[-1], "content"), "", "", None), *calls]


def _snapshot_call(call: Data) -> ToolCalled:
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    return ToolCalled(text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"))
