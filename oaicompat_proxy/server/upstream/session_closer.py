"""Closes sessions in the background, so that no client waits for it; a close also stops the session's run.

Gateways differ in how they close a session. Newer ones have a method of `/invoke`. An embedded one has `/close`. A
standalone one has `/close` only while some client listens on `/events`, so the first such close opens a connection
that is kept. Where the gateway accepts only its callers' credentials, a session is closed with those that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ...core.errors import ProxyError, UpstreamError, UpstreamRefused
from ...dialects.protocol import Gateway
from .gateway_client import Upstream
from .http_exchange import NO_LIMITS, Exchange

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""Attempts to close one session; with the pauses between, a gateway has about four seconds to restart."""

FIRST_PAUSE = 0.5
"""Seconds before the first retry; each later pause is twice as long."""

MAX_CONCURRENT = 32
"""Sessions that are being closed at once, each on a connection; the others are queued. Of 200 at once, a close costs
25 us with 32 connections and 43 to 72 us with 100."""

MAX_QUEUED = 10_000
"""Sessions in the queue. A longer queue means that the gateway is gone, and its sessions with it."""

GREETING = 1.0
"""Seconds for the first event of `/events`, which a gateway that has it sends at once."""


class SessionCloser(Protocol):
    """Closes sessions that are no longer needed."""

    gave_up: int
    """Sessions that could not be closed."""
    retried: int
    """Attempts beside the first ones."""

    @property
    def pending(self) -> int:
        """Sessions that are being closed, or queued for it."""

    def remember(self, key: str, upstream: Upstream) -> None: ...

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def close(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def shutdown(self) -> None: ...


class NullCloser:
    """For agents without a gateway: a run ends with its connection, and no session outlives it."""

    gave_up = retried = pending = 0

    def remember(self, key: str, upstream: Upstream) -> None:
        pass

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        pass

    async def close(self, key: str, upstream: Upstream | None = None) -> None:
        pass

    async def shutdown(self) -> None:
        pass


class GatewaySessionCloser:
    """Closes sessions of a gateway, each with retries, and counts those that could not be closed."""

    def __init__(
        self, upstream: Upstream, gateway: Gateway, *, close_timeout: float, speakers: dict[str, Upstream] | None = None
    ) -> None:
        """`close_timeout`: seconds for one attempt. `speakers`: what `remember` has stored so far."""
        self._upstream = upstream
        self._gateway = gateway
        self._close_timeout = close_timeout
        self._listener = Listener(upstream, gateway)
        # moving
        self.gave_up = 0
        self.retried = 0
        self._queue: deque[tuple[str, Upstream]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._can_invoke = True
        self._speakers = {} if speakers is None else speakers
        """The gateway as the caller of each kept session calls it, the oldest first."""

    def remember(self, key: str, upstream: Upstream) -> None:
        """Stores the caller's credentials for a kept session, where only these can close it."""
        if upstream.uses_client_credentials:
            self._speakers.pop(key, None)
            self._speakers[key] = upstream
            if len(self._speakers) > MAX_QUEUED:
                del self._speakers[next(iter(self._speakers))]

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._workers)

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        """Starts or queues a close. `upstream`: the gateway as its caller calls it, where that is still known."""
        upstream = self._speaker(key, upstream)
        if len(self._workers) < MAX_CONCURRENT:
            task = asyncio.create_task(self._work(key, upstream), name="close sessions")
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        elif len(self._queue) < MAX_QUEUED:
            self._queue.append((key, upstream))
        else:
            self._give_up(key, "too many are waiting to be closed")

    async def _work(self, key: str, upstream: Upstream) -> None:
        """Closes this session, then those in the queue."""
        await self.close(key, upstream)
        while self._queue:
            await self.close(*self._queue.popleft())

    async def close(self, key: str, upstream: Upstream | None = None) -> None:
        """Returns when the session is closed or given up."""
        upstream = self._speaker(key, upstream)
        try:
            await self._try_to_close(key, upstream)
        except UpstreamRefused as error:
            self._give_up(key, error.message)
        except (ProxyError, TimeoutError):
            await self._retry(key, upstream)

    async def shutdown(self) -> None:
        """Waits for closes under way for as long as all attempts of one may take, then gives up the rest."""
        if self._workers:
            _, unfinished = await asyncio.wait(self._workers, timeout=ATTEMPTS * self._close_timeout)
            for task in unfinished:
                task.cancel()
        for key, _ in self._queue:
            self._give_up(key, "the proxy is stopping")
        await self._listener.stop()

    def _speaker(self, key: str, upstream: Upstream | None) -> Upstream:
        remembered = self._speakers.pop(key, None)
        return upstream or remembered or self._upstream

    async def _retry(self, key: str, upstream: Upstream) -> None:
        await asyncio.sleep(FIRST_PAUSE)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((ProxyError, TimeoutError)),
                stop=stop_after_attempt(ATTEMPTS - 1),
                wait=wait_exponential(multiplier=FIRST_PAUSE),
                reraise=True,
            ):
                with attempt:
                    self.retried += 1
                    await self._try_to_close(key, upstream)
        except (ProxyError, TimeoutError) as error:
            self._give_up(key, str(error) or "timeout")

    async def _try_to_close(self, key: str, upstream: Upstream) -> None:
        """Raises TimeoutError, UpstreamRefused, and UpstreamError and its kin."""
        async with asyncio.timeout(self._close_timeout):
            status = await self._call_close(key, upstream)
        if status in (401, 403):
            raise UpstreamRefused(f"The agent gateway refuses the credentials ({status}).")
        if status >= 500:
            raise UpstreamError(f"The agent gateway answered a close with status {status}.")

    async def _call_close(self, key: str, upstream: Upstream) -> int:
        """The gateway's status, by the newest method that it has. The attempt's timeout is the only timer."""
        if self._can_invoke:
            status, body = await upstream.call(self._gateway.build_invoke_close(key), NO_LIMITS)
            self._can_invoke = not self._gateway.is_unknown_method(status, body)
        if not self._can_invoke:
            async with self._listening(upstream):
                status, _ = await upstream.call(self._gateway.build_close(key), NO_LIMITS)
        return status

    @contextlib.asynccontextmanager
    async def _listening(self, upstream: Upstream) -> AsyncIterator[None]:
        """Holds a connection to `/events`: the kept one, or for a caller's own credentials one for this close."""
        listener = Listener(upstream, self._gateway) if upstream.uses_client_credentials else self._listener
        try:
            await listener.ensure()
            yield
        finally:
            if listener is not self._listener:
                await listener.stop()

    def _give_up(self, key: str, reason: str) -> None:
        self.gave_up += 1
        log.warning("session %s could not be closed: %s", key, reason)


class Listener:
    """One connection to the gateway's `/events`, opened on first use and kept."""

    def __init__(self, upstream: Upstream, gateway: Gateway) -> None:
        self._upstream = upstream
        self._path = gateway.events_path(f"oaicompat-proxy-{uuid.uuid4().hex}")
        # moving
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._absent = False

    async def ensure(self) -> None:
        """Returns once there is a connection, or the gateway has no `/events`."""
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
                    async with asyncio.timeout(GREETING):
                        await exchange.read()  # the gateway counts this client from its first event on
                on_failure.pop_all()
            self._reading = asyncio.create_task(self._read(exchange), name="listen to the gateway")

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self, exchange: Exchange) -> None:
        """Discards the heartbeats; nothing else comes without a subscription."""
        try:
            with contextlib.suppress(UpstreamError):
                while await exchange.read():
                    pass
        finally:
            exchange.abort()
