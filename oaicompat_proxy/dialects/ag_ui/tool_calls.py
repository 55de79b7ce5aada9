"""The tool calls of a run, and which of them the agent itself has answered.

Source: AG-UI 1.1, tool call events. A call whose result is in the stream was the agent's own. One without a result
is somebody else's if the run ends on it; but agents of the 0.x age tell no results, so when the model speaks on
after a call, that was the agent's own too. A call that has ended may be opened again, and its arguments go on: so its
end is told to nobody before the run's own end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from io import StringIO

from ...core.errors import UpstreamError
from ...core.events import Event, ToolCallDelta, ToolCallSettled, ToolCallStarted, ToolFinished
from .chunks import ChunkStreams
from .limits import Budget

MOST_WAITING = 16 * 1024 * 1024
"""Characters of all calls that have no result yet: ids, names and arguments."""

MOST_ANSWERED = 10_000
"""Calls that are remembered as answered, the latest: such a one is not handed out if it is opened again."""


class ToolCallState:
    """What is known of one call."""

    __slots__ = ("name", "settled", "text")

    def __init__(self) -> None:
        self.name = ""
        self.text = StringIO()
        """The arguments so far."""
        self.settled = False

    @property
    def arguments(self) -> str:
        """JSON text."""
        return self.text.getvalue() or "{}"

    @property
    def size(self) -> int:
        """Characters of name and arguments."""
        return len(self.name) + self.text.tell()


class ToolCalls:
    """Follows the calls of one run that have no result yet. Methods return the events that can be told now."""

    def __init__(self, chunks: ChunkStreams | None = None, *, with_deeds: bool) -> None:
        """`chunks`: the open short forms. `with_deeds`: also tell the results of the agent's own calls."""
        self._with_deeds = with_deeds
        self._budget = Budget(MOST_WAITING, "tool calls without a result")
        self._chunks = chunks or ChunkStreams("TOOL_CALL_CHUNK", "toolCallId", "toolCallName")
        # moving
        self.open: dict[str, ToolCallState] = {}
        """The calls without a result, by their ids, in their order."""
        self._hidden: set[str] = set()
        """The open calls of sub-agents."""
        self._unsettled: dict[str, None] = {}
        """Those of the agent's that have ended, in their order, as long as nobody knows whose they are."""
        self._answered: set[str] = set()
        self._answered_order: deque[str] = deque()
        self.said = False
        """Some call has been told."""

    def start(self, call_id: str, name: str, *, hidden: bool = False) -> list[Event]:
        if hidden:
            self._hide(call_id)
        if hidden or call_id in self._answered:
            return []
        self._show(call_id)
        call = self._find(call_id)
        self._unsettled.pop(call_id, None)
        if call.name or not name:
            return []
        self._budget.grow(len(name))
        call.name = name
        return [ToolCallStarted(call_id, name)]

    def add(self, call_id: str, delta: str) -> list[Event]:
        if call_id in self._hidden or call_id in self._answered:
            return []
        self._budget.grow(len(delta))
        self._find(call_id).text.write(delta)
        return [ToolCallDelta(call_id, delta)]

    def end(self, call_id: str) -> list[Event]:
        self._show(call_id)
        call = self.open.get(call_id)
        if call is not None and not call.settled:
            self._unsettled[call_id] = None
        return []

    def check_owner(self, call_id: str) -> None:
        """A sub-agent goes on with this call. Raises UpstreamError if it is the agent's own."""
        if call_id in self.open:
            raise UpstreamError("The agent sent a piece of its own tool call with the mark of a sub-agent.")

    def add_chunk(self, call_id: str | None, name: str, delta: str, *, owner: str = "") -> list[Event]:
        """The short form: the first of a call names it and its tool, later ones may leave that out.

        Raises UpstreamError as `ChunkStreams.accept` does, and for a first one without its tool's name.
        """
        step = self._chunks.accept(call_id, owner, name)
        events = [] if step.closed is None else self.end(step.closed)
        if step.opens:
            if not name:
                raise UpstreamError("The agent sent a first TOOL_CALL_CHUNK event without `toolCallName`.")
            events += self.start(step.item_id, name, hidden=bool(step.owner))
        return events + (self.add(step.item_id, delta) if delta else [])

    def close_chunk(self, owner: str) -> list[Event]:
        """Something else came: the call that the short form of this owner has opened is whole."""
        ended = self._chunks.close(owner)
        return [] if ended is None else self.end(ended)

    def answer(self, call_id: str, result: str) -> list[Event]:
        """The agent's own result. One of a call that was never told says nothing: a child's, or an earlier run's."""
        call = self.open.pop(call_id, None)
        if call is None:
            return []
        self._unsettled.pop(call_id, None)
        self._budget.give_back(call_id)
        self._budget.grow(-call.size)
        self._remember_answered(call_id)
        finished = [ToolFinished(call_id, call.name, result, False, None)] if self._with_deeds else []
        return [ToolCallSettled(call_id), *finished]

    def settle_ended(self) -> list[Event]:
        """The model speaks on, so it has what it called for."""
        ended, self._unsettled = self._unsettled, {}
        return self._settle(ended)

    def settle_all_but(self, pending: Collection[str]) -> list[Event]:
        """The agent says which calls are left for others to run."""
        others = frozenset(pending)
        return self._settle(call_id for call_id in self.open if call_id not in others)

    def _settle(self, call_ids: Iterable[str]) -> list[Event]:
        """Their results may still come."""
        unsettled = [call_id for call_id in call_ids if not self.open[call_id].settled]
        for call_id in unsettled:
            self.open[call_id].settled = True
        return [ToolCallSettled(call_id) for call_id in unsettled]

    def _find(self, call_id: str) -> ToolCallState:
        self.said = True
        if call_id not in self.open:
            self._budget.take(call_id)
            self.open[call_id] = ToolCallState()
        return self.open[call_id]

    def _hide(self, call_id: str) -> None:
        if call_id not in self._hidden:
            self._budget.take(call_id)
            self._hidden.add(call_id)

    def _show(self, call_id: str) -> None:
        if call_id in self._hidden:
            self._budget.give_back(call_id)
            self._hidden.discard(call_id)

    def _remember_answered(self, call_id: str) -> None:
        self._answered.add(call_id)
        self._answered_order.append(call_id)
        if len(self._answered_order) > MOST_ANSWERED:
            self._answered.discard(self._answered_order.popleft())
