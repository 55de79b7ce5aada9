"""State of one run while it is read: decides which frames are needed, and which neutral events they become.

A run ends with one of these:

- failure: its `execution_end` with `error` or `aborted`, or a transport `error`, whose `error` is a string;
- success: its `execution_end` without them, or one with empty `data`. Agentick 0.9 and the embedded 0.14 send an empty
  one after the run's own; the standalone transport of 0.14 does not.

Frames after the end are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ...core.events import Event, RunEnded, RunFailed, ToolCalled, ToolCallHandled
from ...core.sse import PEEK_BYTES, Kept
from .frames import call_id_of, fields_before_output, name_of
from .parsers import DUPLICATES, PARSERS, TICK_STARTED, TOOL_ACTIVITY, Data, failure_of, text_of

END_PREFIX_BYTES = 512
"""Bytes of `execution_end` that are usually enough: the needed fields come before `output`, the whole history.

A frame of 2 KB, as in the recordings, takes 60 k instructions less than if it were decoded.
"""

RESULT_PREFIX_BYTES = 4 * 1024
"""Bytes of `tool_result` that are enough where results are not shown: a placeholder is shorter."""

_BACKSLASH = ord("\\")

_USER_ENTRY = re.compile(rb'"message"\s*:\s*\{\s*"role"\s*:\s*"(?!assistant)')


class RunState:
    """Filters the frames of one run by their first bytes, then handles their data.

    The caller must not pass the data of child executions.
    """

    __slots__ = (
        "_child_names",
        "_parsers",
        "_running_calls",
        "calls_tool",
        "execution_id",
        "finished",
        "has_message",
        "needed",
    )

    def __init__(self, include_tool_activity: bool, resumed: bool) -> None:
        """Parameters as of `EventReader`."""
        self.needed = FILTER_WITH_TOOL_ACTIVITY if include_tool_activity else FILTER
        """How much is kept of an event that is always needed, by its name."""
        self._parsers = _PARSERS_WITH_TOOL_ACTIVITY if include_tool_activity else _PARSERS
        # state
        self.finished = False
        """The run has ended."""
        self.execution_id = ""
        self.calls_tool = False
        """This tick calls a tool. The answer may end with the call; by then only the event `message` has the usage."""
        self.has_message = resumed
        """This tick's message has arrived, in pieces or whole, so its duplicates are not needed."""
        self._child_names: dict[str, str] = {}
        """Names of running child executions, by spawn id. Only `spawn_start` has them."""
        self._running_calls: dict[str, None] = {}
        """Ids of this tick's calls whose tools are running: keys of a dict, since an empty set takes 150 bytes more."""

    def filter_frame(self, head: bytes) -> Kept | None:
        """Decides whether a frame is needed, from its first bytes."""
        if self.finished:
            return None
        name = name_of(head)
        kept = _UNKNOWN if name is None else self.needed.get(name) or self.filter_rare(name, head)
        return kept._replace(is_enough=self._shows_outcome) if kept is _END else kept

    def filter_rare(self, name: bytes, frame: bytes) -> Kept | None:
        """`filter_frame` for an event whose name is not in `needed`. `frame`: at least its first bytes."""
        if name in _DUPLICATES:
            return _DUPLICATES[name] if self._is_needed_duplicate(name, frame) else None
        return _UNKNOWN if _BACKSLASH in name else None

    def _is_needed_duplicate(self, name: bytes, head: bytes) -> bool:
        """Whether this repetition of the complete message is needed, because the message itself did not arrive."""
        if name == b"message":
            return self.calls_tool or not self.has_message
        return not self.has_message and (name == b"model_response" or not _USER_ENTRY.search(head, 0, PEEK_BYTES))

    def _shows_outcome(self, head: bytes) -> bool:
        return self.outcome_in(head) is not None

    def outcome_in(self, head: bytes) -> Data | None:
        """The fields in the first bytes of a long `execution_end` that show whose run it is, and how this run ended.

        None if they do not show it. The execution id decides: `spawnPath` may come after the first bytes.
        """
        data = fields_before_output(head)
        if data is None or not self.execution_id or not isinstance(data.get("executionId"), str):
            return None
        is_known = "aborted" in data and ("usage" in data or data.get("error") is not None)
        return data if is_known or self._is_of_other_run(data) else None

    def handle(self, name: str, data: Data) -> Event | None:
        """The neutral event of an event; None if it has none. Raises RecursionError if it is nested too deeply."""
        if name == "execution_end":
            return self._handle_end(data)
        if name == "error" and isinstance(data.get("error"), str):
            return self._fail(data["error"])
        if not self.execution_id:
            self.execution_id = text_of(data, "executionId")
        parse = self._parsers.get(name)
        if parse is None:
            return None
        if (update := _ON_EVENT.get(name)) is not None:
            update(self, data)
        event = parse(data)
        return event if self.has_message or type(event) is not ToolCalled else event._replace(is_early=True)

    def handle_bare(self, name: str) -> Event | None:
        """`handle` for one of BARE_EVENTS in the run, from its name alone."""
        if name == "tick_start":
            self._start_tick({})
            return TICK_STARTED
        if name == "message_start":
            self.has_message = True
        return None

    def handle_long_result(self, head: bytes) -> Event | None:
        """The neutral event of a `tool_result` of which only the first bytes were kept."""
        call_id = call_id_of(head) or ""
        if self._running_calls and call_id not in self._running_calls:
            return None  # the call of a child execution, which runs inside a tool call of its parent
        self._running_calls.pop(call_id, None)
        return ToolCallHandled(call_id)

    def _handle_end(self, data: Data) -> Event | None:
        if self._is_of_other_run(data):
            return None
        error = data.get("error")
        if error is not None:
            return self._fail(text_of(error, "message") if isinstance(error, dict) else str(error))
        if data.get("aborted"):
            return self._fail("Execution aborted")
        self.finished = True
        return _RUN_ENDED

    def _is_of_other_run(self, data: Data) -> bool:
        return self.execution_id != "" and data.get("executionId", self.execution_id) != self.execution_id

    def _fail(self, message: str) -> RunFailed:
        self.finished = True
        return failure_of(message)

    # state that decides about later frames

    def _start_tick(self, _data: Data) -> None:
        self.has_message = self.calls_tool = False
        self._running_calls.clear()

    def _see_message(self, _data: Data) -> None:
        """The message has begun, or arrived whole."""
        self.has_message = True

    def _see_tool_call(self, _data: Data) -> None:
        self.calls_tool = True

    def _start_tool(self, data: Data) -> None:
        self._running_calls[text_of(data, "callId")] = None

    def _end_tool(self, data: Data) -> None:
        self._running_calls.pop(text_of(data, "callId"), None)

    def _start_child(self, data: Data) -> None:
        self._child_names[text_of(data, "spawnId")] = text_of(data, "label") or text_of(data, "componentName")

    def _end_child(self, data: Data) -> None:
        data.setdefault("componentName", self._child_names.pop(text_of(data, "spawnId"), ""))


_RUN_ENDED = RunEnded()

_PARSERS = PARSERS | DUPLICATES
_PARSERS_WITH_TOOL_ACTIVITY = _PARSERS | TOOL_ACTIVITY
_ON_EVENT: Mapping[str, Callable[[RunState, Data], None]] = {
    "tick_start": RunState._start_tick,
    "message_start": RunState._see_message,
    "content_delta": RunState._see_message,
    "reasoning_delta": RunState._see_message,
    "message": RunState._see_message,
    "model_response": RunState._see_message,
    "tool_call_start": RunState._see_tool_call,
    "tool_call": RunState._see_tool_call,
    "tool_result_start": RunState._start_tool,
    "tool_result": RunState._end_tool,
    "spawn_start": RunState._start_child,
    "spawn_end": RunState._end_child,
}
"""Updates of the state by an event's name, before it is parsed."""

_DUPLICATES = {name.encode(): Kept(name) for name in DUPLICATES}
_UNKNOWN = Kept(None)
"""For a name that the first bytes do not show; the frame is decoded."""
_END = Kept("execution_end", END_PREFIX_BYTES)
FILTER_WITH_TOOL_ACTIVITY = {name.encode(): Kept(name) for name in PARSERS | TOOL_ACTIVITY} | {b"execution_end": _END}
FILTER = {name.encode(): Kept(name) for name in PARSERS} | {
    b"execution_end": _END,
    b"tool_result": Kept("tool_result", RESULT_PREFIX_BYTES, lambda head: call_id_of(head) is not None),
}
"""How much of an event is kept, by its name. Events of other names are not needed, but for the duplicates."""
