"""An agent's run as a source of events: the interface between runs and the loop that answers a client."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol, Self

from ...core.events import Event
from ...dialects.protocol import Reader

TakeEvents = Callable[[Iterable[Event]], bool]
"""Receives the events of one read; returns whether the source should continue."""

Watch = Callable[[Event], Event]
"""Receives every event of a run and returns it, or another in its place."""

OnGatewayBytes = Callable[[bytes], None]
"""Receives the bytes of each read, decompressed."""


class EventSource(Protocol):
    """A run that is opened first. Its events are then either read, one network read at a time, or pushed."""

    @property
    def arrived(self) -> float:
        """`time.perf_counter()` at which the bytes of the last awaited read arrived."""

    async def open(self) -> None:
        """Raises UpstreamError or a subclass."""

    def __aiter__(self) -> AsyncIterator[Iterable[Event]]: ...

    async def push_to(self, take: TakeEvents) -> None:
        """Passes the events of each read to `take` until it returns False or the run ends."""

    def pause(self) -> None:
        """Stops reading, so that back-pressure reaches the agent."""

    def resume(self) -> None: ...


class PullSource(ABC):
    """Implements `push_to` for a source whose reads must be awaited one by one."""

    def __init__(self) -> None:
        self._resumed = asyncio.Event()
        self._resumed.set()

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> Iterable[Event]:
        """The events of the next read. Raises UpstreamError or a subclass."""

    async def push_to(self, take: TakeEvents) -> None:
        async for events in self:
            if not take(events):
                return
            await self._resumed.wait()

    def pause(self) -> None:
        self._resumed.clear()

    def resume(self) -> None:
        self._resumed.set()


class UntilHeld:
    """Passes events on until the reader holds some back: these need a timer (`flush_delay` of the reader)."""

    __slots__ = ("_reader", "_take", "holds")

    def __init__(self, take: TakeEvents, reader: Reader) -> None:
        self._take = take
        self._reader = reader
        # state
        self.holds = False

    def take(self, events: Iterable[Event]) -> bool:
        goes_on = self._take(events)
        self.holds = goes_on and self._reader.flush_delay is not None
        return goes_on and not self.holds


class FlushTimer:
    """The time at which events that a reader holds back are flushed, however much the agent sends until then.

    Made when the reader begins to hold events back.
    """

    __slots__ = ("_count", "_is_late", "_since", "is_over")

    def __init__(self) -> None:
        # state
        self._since: float | None = None
        """The loop's time since which the reader holds events back that later ones may change."""
        self._count = 0
        """The reader's `flush_count` when the current wait began."""
        self._is_late = False
        """The deadline had passed before the last read, which took only what had arrived."""
        self.is_over = False
        """The deadline has passed, and what had arrived was read."""

    def deadline(self, reader: Reader, now: float) -> float:
        """Called before each read while `reader` holds events back: the read's deadline on the loop's clock."""
        if self._since is None or self._count != reader.flush_count:
            self._since, self._count, self._is_late = now, reader.flush_count, False
        deadline = self._since + (reader.flush_delay or 0)
        self.is_over, self._is_late = self._is_late, now >= deadline
        return deadline
