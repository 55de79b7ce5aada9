"""Finds out whether a gateway takes all messages of a conversation in one call (`history = full`).

Most gateways answer an empty call with the body that they expect. A gateway that is embedded in another server does
not. There the first conversation is sent as messages in a trial run, and the stream shows which messages the model got.
If some are missing, the run is stopped before the client gets any bytes, and the conversation is sent folded.
"""

from __future__ import annotations

import logging
import uuid

from ...dialects.protocol import GatewayMethods
from ..upstream.event_source import EventSource
from ..upstream.gateway_client import Upstream
from .lease import Lease
from .replaceable_run import ReplaceableRun, StartRun
from .send_form import ask_for_form
from .sessions import Sessions

log = logging.getLogger(__name__)

MAX_PROMPT = 64 * 1024 * 1024
"""Bytes of a run's stream that are searched for the model's messages, which the stream holds several times."""


async def find_messages(upstream: Upstream) -> bool | None:
    """Returns whether the gateway takes all messages of a call; None if only a run can show it."""
    feature, gateway = upstream.features.messages, upstream.dialect.gateway
    if feature.works is not None or gateway is None:
        return feature.works
    error = await ask_for_form(upstream, gateway)
    works = gateway.reads_all_messages(*error) if error is not None else None
    if works is not None:
        _set_feature(upstream, works=works)
    return works


def new_mark() -> str:
    """A message id that appears in a stream only with its message."""
    return f"oc-{uuid.uuid4().hex}"


def _set_feature(upstream: Upstream, *, works: bool) -> None:
    upstream.features.messages.update(works=works)
    if not works:
        log.info("the gateway at %s takes one message per run: conversations are sent folded", upstream.address)


class TrialRun(ReplaceableRun):
    """A run that was sent as messages. If the model did not get all of them, another run replaces it."""

    def __init__(
        self, lease: Lease, sessions: Sessions, gateway: GatewayMethods, run: EventSource, mark: str, *, again: StartRun
    ) -> None:
        """`mark`: id of the last message. `again`: starts a run with the folded conversation."""
        super().__init__(lease, sessions, run, again=again)
        self._gateway = gateway
        self._mark = mark.encode()

    async def _check(self, again: StartRun) -> None:
        """Waits until the model has its messages; replaces the run if some are missing."""
        lease = self._lease
        markers = self._gateway.model_markers()
        found = await lease.started_run.look_ahead([self._mark, *markers], limit=MAX_PROMPT)
        is_whole, has_failed = found == self._mark, found is not None and markers.get(found) is False
        if found is not None and not has_failed:
            _set_feature(lease.upstream, works=is_whole)
        if not (is_whole or has_failed):
            self._sessions.replace(lease)
            await self._replace(again)
