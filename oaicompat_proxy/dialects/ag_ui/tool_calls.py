"""The tool calls of a run, and which of them the agent has handled itself.

Source: AG-UI 1.1, tool call events. The agent has handled a call if its result is in the stream. A call without a
result is the client's if the run ends with it. Agents of versions 0.x send no results: if the model continues after a
call, the agent has handled this call, too. An ended call may be opened again and its arguments continued, so no event
reports its end before the run ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from io import StringIO

from ...core.errors import UpstreamError
from ...core.events import Event, ToolCallDelta, ToolCallHandled, ToolCallStarted, ToolFinished
from .chunks import ChunkStreams
from .limits import SizeLimit

MAX_OPEN_CALLS = 16 * 1024 * 1024
"""Characters of ids, names and arguments of all calls without a result, at most."""

MAX_ANSWERED = 10_000
"""The number of latest answered calls whose ids are kept: such a call is ignored if it is opened again."""


class ToolCallState:
    """State of one call."""

    __slots__ = ("is_handled", "name", "text")

    def __init__(self) -> None:
        self.name = ""
        self.text = StringIO()
        """The arguments so far."""
        self.is_handled = False

    @property
    def arguments(self) -> str:
        """JSON text."""
        return self.text.getvalue() or "{}"

    @property
    def size(self) -> int:
        """Characters of name and arguments."""
        return len(self.name) + self.text.tell()


class ToolCalls:
    """State of the calls of one run that have no result yet. Methods return neutral events."""

    def __init__(self, chunks: ChunkStreams | None = None, *, include_tool_activity: bool) -> None:
        """`chunks`: the open chunk items. `include_tool_activity`: with the results of the agent's own calls."""
        self._include_tool_activity = include_tool_activity
        self._limit = SizeLimit(MAX_OPEN_CALLS, "tool calls without a result")
        self._chunks = chunks or ChunkStreams("TOOL_CALL_CHUNK", "toolCallId", "toolCallName")
        # state
        self.open: dict[str, ToolCallState] = {}
        """Calls without a result by their ids, in order of their beginning."""
        self._hidden: set[str] = set()
        """Ids of the open calls of sub-agents."""
        self._ended: dict[str, None] = {}
        """Ids of the agent's ended calls, in order, that may still be the client's."""
        self._answered: set[str] = set()
        self._answered_order: deque[str] = deque()
        self.has_calls = False
        """Whether a call of the agent has begun."""

    @property
    def has_unhandled(self) -> bool:
        """Whether a call may still be the client's."""
        return any(not call.is_handled for call in self.open.values())

    @property
    def has_unnamed(self) -> bool:
        """Whether a call that may still be the client's has arguments, and no name."""
        return any(not (call.name or call.is_handled) and call.text.tell() for call in self.open.values())

    def is_answered(self, call_id: str) -> bool:
        """Whether the call's result was streamed."""
        return call_id in self._answered

    def start(self, call_id: str, name: str, *, hidden: bool = False) -> list[Event]:
        if hidden:
            self._hide(call_id)
        if hidden or call_id in self._answered:
            return []
        self._unhide(call_id)
        call = self._find(call_id)
        self._ended.pop(call_id, None)
        if call.name or not name:
            return []
        self._limit.grow(len(name))
        call.name = name
        return [ToolCallStarted(call_id, name)]

    def add(self, call_id: str, delta: str) -> list[Event]:
        if call_id in self._hidden or call_id in self._answered:
            return []
        self._limit.grow(len(delta))
        self._find(call_id).text.write(delta)
        return [ToolCallDelta(call_id, delta)]

    def end(self, call_id: str) -> list[Event]:
        self._unhide(call_id)
        call = self.open.get(call_id)
        if call is not None and not call.is_handled:
            self._ended[call_id] = None
        return []

    def check_owner(self, call_id: str) -> None:
        """Raises UpstreamError if this call, which a sub-agent continues, is the agent's own."""
        if call_id in self.open:
            raise UpstreamError("The agent sent a piece of its own tool call with the mark of a sub-agent.")

    def add_chunk(
        self, call_id: str | None, name: str, delta: str, *, owner: str = "", hidden: bool = False
    ) -> list[Event]:
        """`TOOL_CALL_CHUNK`: the first of a call has its id and its tool, later ones may leave them out.

        A call that `TOOL_CALL_START` has opened continues. Raises UpstreamError as `ChunkStreams.accept` does, and for
        a first chunk without the tool's name.
        """
        target = self._chunks.accept(call_id, owner, name, self._name_of(call_id))
        events = [] if target.closed is None else self.end(target.closed)
        if owner:
            self.check_owner(target.item_id)
        if target.opens:
            hidden = hidden or bool(target.owner) or target.item_id in self._hidden
            if not (name or hidden or self._name_of(target.item_id) or self.is_answered(target.item_id)):
                raise UpstreamError("The agent sent a first TOOL_CALL_CHUNK event without `toolCallName`.")
            events += self.start(target.item_id, name, hidden=hidden)
        return events + (self.add(target.item_id, delta) if delta else [])

    def close_chunk(self, owner: str) -> list[Event]:
        """Ends the call that the owner's last chunk has opened or continued."""
        ended = self._chunks.close(owner)
        return [] if ended is None else self.end(ended)

    def answer(self, call_id: str, result: str) -> list[Event]:
        """The agent's own result of a call. Results of unknown calls (of sub-agents or earlier runs) are ignored."""
        call = self.open.pop(call_id, None)
        if call is None:
            return []
        self._ended.pop(call_id, None)
        self._limit.remove(call_id)
        self._limit.grow(-call.size)
        self._remember_answered(call_id)
        finished = [ToolFinished(call_id, call.name, result, False, None)] if self._include_tool_activity else []
        return [ToolCallHandled(call_id), *finished]

    def mark_as_handled(self, call_id: str) -> list[Event]:
        """The agent has handled this call; a result of it may still come."""
        return self._mark_handled([call_id] if call_id in self.open else [])

    def take_output(self, call_id: str) -> str | None:
        """Answers a call whose arguments are the agent's output, and returns them; None for an unknown call."""
        call = self.open.get(call_id)
        self.answer(call_id, "")
        return None if call is None else call.arguments

    def mark_ended_as_handled(self) -> list[Event]:
        """The model continues, so the agent has handled all calls that have ended."""
        ended, self._ended = self._ended, {}
        return self._mark_handled(ended)

    def mark_others_as_handled(self, pending: Collection[str]) -> list[Event]:
        """The agent has handled all calls but those that it lists as pending."""
        pending = frozenset(pending)
        return self._mark_handled(call_id for call_id in self.open if call_id not in pending)

    def _mark_handled(self, call_ids: Iterable[str]) -> list[Event]:
        """The calls stay open, since their results may still come."""
        unhandled = [call_id for call_id in call_ids if not self.open[call_id].is_handled]
        for call_id in unhandled:
            self.open[call_id].is_handled = True
        return [ToolCallHandled(call_id) for call_id in unhandled]

    def _name_of(self, call_id: str | None) -> str:
        """The tool of a call that is open; empty if it is unknown."""
        return self.open[call_id].name if call_id in self.open else ""

    def _find(self, call_id: str) -> ToolCallState:
        self.has_calls = True
        if call_id not in self.open:
            self._limit.add(call_id)
            self.open[call_id] = ToolCallState()
        return self.open[call_id]

    def _hide(self, call_id: str) -> None:
        if call_id not in self._hidden:
            self._limit.add(call_id)
            self._hidden.add(call_id)

    def _unhide(self, call_id: str) -> None:
        if call_id in self._hidden:
            self._limit.remove(call_id)
            self._hidden.discard(call_id)

    def _remember_answered(self, call_id: str) -> None:
        self._answered.add(call_id)
        self._answered_order.append(call_id)
        if len(self._answered_order) > MAX_ANSWERED:
            self._answered.discard(self._answered_order.popleft())
