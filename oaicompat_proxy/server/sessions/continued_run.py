"""A run in a session that should know what was said before: whether it does is seen in the run's first frame.

A gateway that was restarted has forgotten its sessions, and opens an empty one under the same key. Then the run is
stopped before anything of it is passed on, and the whole conversation is sent to another session, once.
"""

from __future__ import annotations

from ...dialects.protocol import Gateway
from ..upstream.event_source import EventSource
from .lease import Lease
from .replaceable_run import ReplaceableRun, StartRun
from .sessions import Sessions

FIRST = 1
"""Number of the first frame of a session that is new to the gateway."""


class ContinuingRun(ReplaceableRun):
    """Another run takes its place if the gateway has forgotten the session."""

    def __init__(
        self, lease: Lease, sessions: Sessions, gateway: Gateway, run: EventSource, *, again: StartRun
    ) -> None:
        super().__init__(lease, sessions, run, again=again)
        self._gateway = gateway

    async def _check(self, again: StartRun) -> None:
        lease = self._lease
        assert lease.run is not None
        sequence = self._gateway.first_sequence(await lease.run.first_frame())
        if sequence == FIRST and lease.recognised_by is not None:
            self._sessions.replace_forgotten(lease)
            await self._replace(again)
        elif sequence == FIRST and not lease.exact:
            self._sessions.note_forgotten(lease)
        if sequence is not None and lease.recognised_by is None:
            lease.exact = sequence == FIRST or not lease.own
