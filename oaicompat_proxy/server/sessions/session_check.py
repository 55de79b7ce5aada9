"""A run in a session that should know the conversation. The number of the run's first frame shows whether it does.

A restarted gateway has lost its sessions, and begins an empty session under the same key. Then the run is stopped
before the client gets any bytes, and the whole conversation is sent once to another session.
"""

from __future__ import annotations

from ...dialects.protocol import GatewayMethods
from ..upstream.event_source import EventSource
from .lease import Lease
from .replaceable_run import ReplaceableRun, StartRun
from .sessions import Sessions

FIRST_SEQUENCE = 1
"""Number of the first frame in a session that is new to the gateway."""


class SessionCheckingRun(ReplaceableRun):
    """Replaces a run whose session the gateway has lost."""

    def __init__(
        self, lease: Lease, sessions: Sessions, gateway: GatewayMethods, run: EventSource, *, again: StartRun
    ) -> None:
        super().__init__(lease, sessions, run, again=again)
        self._gateway = gateway

    async def _check(self, again: StartRun) -> None:
        lease = self._lease
        sequence = self._gateway.first_sequence(await lease.started_run.first_frame())
        if sequence == FIRST_SEQUENCE and lease.matched_fingerprint is not None:
            self._sessions.replace_forgotten(lease)
            await self._replace(again)
        elif sequence == FIRST_SEQUENCE and not lease.exact:
            self._sessions.report_forgotten(lease)
        if sequence is not None and lease.matched_fingerprint is None:
            lease.exact = sequence == FIRST_SEQUENCE or not lease.primary
