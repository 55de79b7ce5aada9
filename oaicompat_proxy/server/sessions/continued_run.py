"""A run in a session that should know what was said before: whether it does is seen in the run's first frame.

A gateway that was restarted has forgotten its sessions, and opens an empty one under the same key. Then the run is
stopped before anything of it is passed on, and the whole conversation is sent to another session, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from ...core.events import Event
from ...dialects.protocol import Gateway
from ..upstream.event_source import Pumpable, Readable
from .lease import Lease
from .sessions import Sessions

FIRST = 1
"""Number of the first frame of a session that is new to the gateway."""


class ContinuingRun:
    """Reads the run of a lease; another takes its place while it is opened, if that has to be."""

    def __init__(
        self,
        lease: Lease,
        sessions: Sessions,
        gateway: Gateway,
        run: Readable,
        *,
        again: Callable[[], Awaitable[Readable]],
    ) -> None:
        """`run`: the lease's. `again`: begins another one of the lease, as that then is."""
        self._lease = lease
        self._sessions = sessions
        self._gateway = gateway
        # moving
        self._again: Callable[[], Awaitable[Readable]] | None = again
        self._run = _pumpable(run)

    @property
    def arrived(self) -> float:
        return self._run.arrived

    async def open(self) -> None:
        """Returns with the first frame. Raises UpstreamError and its kin."""
        again, self._again = self._again, None  # it holds the conversation
        await self._run.open()
        lease = self._lease
        if again is None or lease.run is None:
            return
        sequence = self._gateway.first_sequence(await lease.run.first_frame())
        if sequence == FIRST and lease.recognised_by is not None:
            self._sessions.replace_forgotten(lease)
            self._run = _pumpable(await again())
            await self._run.open()
        elif sequence == FIRST and not lease.exact:
            self._sessions.note_forgotten(lease)
        if sequence is not None and lease.recognised_by is None:
            lease.exact = sequence == FIRST or not lease.own

    def __aiter__(self) -> AsyncIterator[Iterable[Event]]:
        return self._run.__aiter__()

    async def pump(self, take: Callable[[Iterable[Event]], bool]) -> None:
        await self._run.pump(take)

    def pause(self) -> None:
        self._run.pause()

    def resume(self) -> None:
        self._run.resume()

    def cut(self) -> None:
        self._run.cut()


def _pumpable(run: Readable) -> Pumpable:
    """The same: every run of a gateway's can push."""
    assert isinstance(run, Pumpable)
    return run
