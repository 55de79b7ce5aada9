"""The objects that serve one gateway under one configuration."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from ..config.per_model import ModelOverrides
from ..config.settings import Config
from ..core.signing import SigningKeys
from .answer_stores.stored_answers import StoredAnswers
from .sessions.call_ids import CallIds
from .sessions.run_limiter import RunLimiter
from .sessions.sessions import Sessions
from .upstream.catalog import Catalog
from .upstream.gateway_client import Upstream
from .upstream.readiness import Readiness
from .upstream.session_closer import SessionCloser

DRAIN_POLL = 1.0
"""Seconds between two checks whether the last run of a replaced runtime is over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatewayRuntime:
    """Serves requests under one configuration; a reload replaces it as a whole.

    A request keeps the runtime it began with.
    """

    config: Config
    per_model: ModelOverrides
    signing_keys: SigningKeys
    upstream: Upstream
    catalog: Catalog
    readiness: Readiness
    sessions: Sessions
    closer: SessionCloser
    call_ids: CallIds
    stored_answers: StoredAnswers
    limiter: RunLimiter
    """The gateway's limiter, which survives the runtime."""

    def counts(self) -> dict[str, int]:
        return {
            "finalizing": len(self.sessions.finalizing),
            "cancelled": self.sessions.cancelled,
            "forgotten": self.sessions.forgotten,
            "closing": self.closer.pending,
            "close failures": self.closer.gave_up,
            "close retries": self.closer.retried,
            "connect retries": self.upstream.reconnects,
        }

    async def drain(self) -> None:
        """Returns after the last run of a replaced runtime, or earlier if it is cancelled."""
        try:
            await asyncio.sleep(DRAIN_POLL)
            while self.sessions.busy:  # noqa: ASYNC110 -- an event would have to be set by every request
                await asyncio.sleep(DRAIN_POLL)
        finally:
            await self.sessions.hand_over()
            self.upstream.close()


RUNTIME = web.AppKey("oaicompat_proxy.runtime", GatewayRuntime)
"""Set in the application that serves the gateway: a request keeps its application, and so its runtime."""
