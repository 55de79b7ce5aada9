"""A run that may be replaced by another one while it is opened, before the client gets any bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from ...core.events import Event
from ..upstream.event_source import EventSource, TakeEvents
from .lease import Lease
from .sessions import Sessions

StartRun = Callable[[], Awaitable[EventSource]]
"""Starts another run of a lease, in the lease's session at that time."""


class ReplaceableRun(ABC):
    """Reads the run of a lease, or the run that has replaced it."""

    def __init__(self, lease: Lease, sessions: Sessions, run: EventSource, *, again: StartRun) -> None:
        """`run`: the lease's run. `again`: starts the replacement; it holds the conversation, so `open` drops it."""
        self._lease = lease
        self._sessions = sessions
        # state
        self._again: StartRun | None = again
        self._run = run

    @property
    def arrived(self) -> float:
        return self._run.arrived

    async def open(self) -> None:
        """Opens the run, and decides whether it is replaced. Raises UpstreamError or a subclass."""
        again, self._again = self._again, None
        await self._run.open()
        if again is not None and self._lease.run is not None:
            await self._check(again)

    @abstractmethod
    async def _check(self, again: StartRun) -> None:
        """Checks the opened run of the lease, and calls `_replace` if another run has to be read."""

    async def _replace(self, again: StartRun) -> None:
        self._run = await again()
        await self._run.open()

    def __aiter__(self) -> AsyncIterator[Iterable[Event]]:
        return self._run.__aiter__()

    async def push_to(self, take: TakeEvents) -> None:
        await self._run.push_to(take)

    def pause(self) -> None:
        self._run.pause()

    def resume(self) -> None:
        self._run.resume()
