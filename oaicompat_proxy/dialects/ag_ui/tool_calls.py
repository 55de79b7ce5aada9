"""The tool calls of a run, and which of them the agent itself has answered.

Source: AG-UI 1.0, tool call events. A call whose result is in the stream was the agent's own. One without a result
is somebody else's if the run ends on it; but agents of the 0.x age tell no results, so when the model speaks on
after a call, that was the agent's own too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...events import Event, ToolCallDelta, ToolCalled, ToolCallEnded, ToolCallSettled, ToolCallStarted, ToolFinished


class Told:
    """What was told of one call."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: list[str] = []
        self.ended = False
        self.settled = False

    @property
    def arguments(self) -> str:
        """JSON text."""
        return "".join(self.pieces) or "{}"


class ToolCalls:
    """Follows the calls of one run that have no result yet. Methods return what can be told now."""

    def __init__(self, *, with_deeds: bool) -> None:
        """`with_deeds`: also tell the results of the agent's own calls."""
        self._with_deeds = with_deeds
        # moving
        self.open: dict[str, Told] = {}
        """The calls without a result, by their ids, in their order."""
        self._chunked: str | None = None
        """The call that the short form has opened."""
        self.said = False
        """Some call has been told."""

    def start(self, call_id: str, name: str) -> list[Event]:
        self.said = True
        told = self.open.setdefault(call_id, Told(name))
        told.name = told.name or name
        return [ToolCallStarted(call_id, name)]

    def add(self, call_id: str, delta: str) -> list[Event]:
        self.said = True
        self.open.setdefault(call_id, Told("")).pieces.append(delta)
        return [ToolCallDelta(call_id, delta)]

    def end(self, call_id: str) -> list[Event]:
        told = self.open.get(call_id)
        if told is None:
            return []
        told.ended = True
        return [ToolCallEnded(call_id)] if told.pieces else [ToolCalled(call_id, told.name, "")]

    def add_chunk(self, call_id: str, name: str, delta: str) -> list[Event]:
        """The short form: the first of a call names it, later ones may leave that out."""
        events: list[Event] = []
        if self._chunked is None or call_id not in ("", self._chunked):
            events += self.close_chunks()
            self._chunked = call_id
            events += self.start(call_id, name)
        return events + (self.add(self._chunked, delta) if delta else [])

    def close_chunks(self) -> list[Event]:
        """Something else came: the call that the short form has opened is whole."""
        if self._chunked is None:
            return []
        ended, self._chunked = self._chunked, None
        return self.end(ended)

    def answer(self, call_id: str, result: str) -> list[Event]:
        """The agent's own result. One of a call that was never told says nothing: a child's, or an earlier run's."""
        told = self.open.pop(call_id, None)
        if told is None:
            return []
        finished = [ToolFinished(call_id, told.name, result, False, None)] if self._with_deeds else []
        return [ToolCallSettled(call_id), *finished]

    def settle_ended(self) -> list[Event]:
        """The model speaks on, so it has what it called for."""
        return self._settle(call_id for call_id, told in self.open.items() if told.ended)

    def settle_all_but(self, pending: Collection[str]) -> list[Event]:
        """The agent says which calls are left for others to run."""
        return self._settle(call_id for call_id in self.open if call_id not in pending)

    def _settle(self, call_ids: Iterable[str]) -> list[Event]:
        """Their results may still come."""
        unsettled = [call_id for call_id in call_ids if not self.open[call_id].settled]
        for call_id in unsettled:
            self.open[call_id].settled = True
        return [ToolCallSettled(call_id) for call_id in unsettled]
