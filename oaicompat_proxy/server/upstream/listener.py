"""A connection to a gateway's `/events`, which a standalone gateway needs before it closes sessions."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from ...core.errors import UpstreamError, UpstreamRefused
from ...dialects.protocol import GatewayMethods
from .gateway_client import Upstream
from .http_exchange import Exchange

CONNECTION_EVENT_TIMEOUT = 1.0
"""Seconds for the first event of `/events`, which a gateway that has it sends at once."""


class Listener:
    """One connection to the gateway's `/events`, opened on first use and kept."""

    def __init__(self, upstream: Upstream, gateway: GatewayMethods) -> None:
        self._upstream = upstream
        self._path = gateway.events_path(f"oaicompat-proxy-{uuid.uuid4().hex}")
        # state
        self._reading: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        """The open connection."""
        self._lock = asyncio.Lock()
        self._absent = False

    async def ensure(self) -> None:
        """Opens the connection, unless it is open or the gateway has no `/events`."""
        async with self._lock:
            if self._absent or (self._reading is not None and not self._reading.done()):
                return
            try:
                exchange = await self._upstream.listen(self._path)
            except UpstreamError as error:
                self._absent = isinstance(error, UpstreamRefused)  # an embedded gateway may have none, and needs none
                return
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(exchange.abort)
                with contextlib.suppress(TimeoutError, UpstreamError):
                    async with asyncio.timeout(CONNECTION_EVENT_TIMEOUT):
                        await exchange.read()  # the gateway counts this client from its first event on
                on_failure.pop_all()
            self._exchange = exchange
            self._reading = asyncio.create_task(self._read(exchange), name="listen to the gateway")

    async def stop(self) -> None:
        if self._reading is not None and self._exchange is not None:
            self._exchange.abort()  # a cancellation would not reach a task that has not begun
            await asyncio.wait([self._reading])

    async def _read(self, exchange: Exchange) -> None:
        """Discards the heartbeats; without a subscription the gateway sends nothing else."""
        try:
            with contextlib.suppress(UpstreamError):
                while await exchange.read():
                    pass
        finally:
            exchange.abort()
