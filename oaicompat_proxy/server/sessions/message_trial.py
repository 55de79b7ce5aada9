"""Whether a gateway takes a conversation message by message (`history = full`): found out by trying.

A gateway that is called with nothing mostly says which form of body it wants. One in another server does not: there
the first conversation is sent as messages, and the run's stream shows what the model was given. If that was not all,
the run is stopped before anything of it is passed on, and the conversation is sent folded.
"""

from __future__ import annotations

import logging
import uuid

from ...core.errors import ProxyError
from ...dialects.protocol import Gateway
from ..upstream.event_source import EventSource
from ..upstream.gateway_client import Upstream
from .lease import Lease
from .replaceable_run import ReplaceableRun, StartRun
from .sessions import Sessions

log = logging.getLogger(__name__)

LONGEST_PROMPT = 64 * 1024 * 1024
"""Bytes of a run's stream in which the model's messages are looked for: the stream holds them several times."""


async def find_messages(upstream: Upstream) -> bool | None:
    """Whether all messages of a call are read; None if only a run can tell."""
    feature, gateway = upstream.features.messages, upstream.dialect.gateway
    if feature.works is not None or gateway is None:
        return feature.works
    try:
        status, body = await upstream.call(gateway.build_empty_send())
    except ProxyError:
        return None
    works = gateway.takes_messages(status, body)
    if works is not None:
        _note(upstream, works=works)
    return works


def new_mark() -> str:
    """An id that stands in a stream only if its message does."""
    return f"oc-{uuid.uuid4().hex}"


def _note(upstream: Upstream, *, works: bool) -> None:
    upstream.features.messages.note(works=works)
    if not works:
        log.info("the gateway at %s takes one message a run: conversations are sent folded", upstream.address)


class TrialRun(ReplaceableRun):
    """A run that was sent as messages; another takes its place if they were not all read."""

    def __init__(
        self, lease: Lease, sessions: Sessions, gateway: Gateway, run: EventSource, mark: str, *, again: StartRun
    ) -> None:
        """`mark`: the id of the run's last message. `again`: begins another one, folded."""
        super().__init__(lease, sessions, run, again=again)
        self._gateway = gateway
        self._mark = mark.encode()

    async def _check(self, again: StartRun) -> None:
        """Returns when the model has got its messages."""
        lease = self._lease
        assert lease.run is not None
        signs = self._gateway.model_signs()
        found = await lease.run.look_ahead([self._mark, *signs], limit=LONGEST_PROMPT)
        is_whole, has_failed = found == self._mark, found is not None and signs.get(found) is False
        if found is not None and not has_failed:
            _note(lease.upstream, works=is_whole)
        if not (is_whole or has_failed):
            self._sessions.replace(lease)
            await self._replace(again)
