"""An answer that needs no agent, as an EventSource."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

from ...core.events import Event, RunEnded, RunStarted, TextDelta
from ..upstream.event_source import PullSource


class KnownAnswer(PullSource):
    """The events of one text, in one read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._events: tuple[Event, ...] = (RunStarted(), TextDelta(text), RunEnded())
        self.arrived = 0.0

    async def open(self) -> None:
        """Does nothing: no connection is needed."""

    async def __anext__(self) -> Iterable[Event]:
        if not self._events:
            raise StopAsyncIteration
        events, self._events = self._events, ()
        self.arrived = perf_counter()
        return events
