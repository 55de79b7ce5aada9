"""Closes sessions in the background, so that no client waits for it; a close also stops the session's run.

Gateways differ in how they close a session. Newer ones have a method of `/invoke`. An embedded one has `/close`. A
standalone one has `/close` only while some client listens on `/events`, so the first such close opens a connection
that is kept. Where the gateway accepts only its callers' credentials, a session is closed with those that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Protocol

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ...core.errors import ProxyError, UpstreamError, UpstreamRefused, UpstreamTimeout
from ...dialects.protocol import GatewayMethods
from .gateway_client import Upstream
from .http_exchange import NO_LIMITS, Exchange
from .listener import Listener

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


class SessionCloser(Protocol):
    """Closes sessions that are no longer needed."""

    gave_up: int
    """Sessions that could not be closed."""
    retried: int
    """Number of retries."""

    @property
    def pending(self) -> int:
        """Sessions that are being closed, or queued for it."""

    def remember(self, key: str, upstream: Upstream) -> None: ...

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def close(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def shutdown(self) -> None: ...


class NullCloser:
    """The closer of agents without a gateway: a run ends with its connection, so there is nothing to close."""

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
        self,
        upstream: Upstream,
        gateway: GatewayMethods,
        *,
        close_timeout: float,
        session_upstreams: dict[str, Upstream] | None = None,
    ) -> None:
        """`close_timeout`: seconds for one attempt. `session_upstreams`: what earlier calls of `remember` stored."""
        self.upstream = upstream
        self._gateway = gateway
        self._close_timeout = close_timeout
        self._listener = Listener(upstream, gateway)
        # state
        self.gave_up = 0
        self.retried = 0
        self._queue: deque[tuple[str, Upstream]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._sent: dict[Exchange, float] = {}
        """Closes without a task, and the `time.monotonic()` at which each is given up; the first is the next."""
        self._timer: asyncio.TimerHandle | None = None
        self._all_ended: asyncio.Future[None] | None = None
        """Set at the end of the last close without a task, if `shutdown` waits for it."""
        self._can_invoke = True
        self._session_upstreams = {} if session_upstreams is None else session_upstreams
        """The gateway with the credentials of each kept session's caller, the oldest first."""

    def remember(self, key: str, upstream: Upstream) -> None:
        """Stores the caller's credentials for a kept session, where only these can close it."""
        if upstream.uses_client_credentials:
            self._session_upstreams.pop(key, None)
            self._session_upstreams[key] = upstream
            if len(self._session_upstreams) > MAX_QUEUED:
                del self._session_upstreams[next(iter(self._session_upstreams))]

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._workers) + len(self._sent)

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        """Starts or queues a close. `upstream`: with the caller's credentials, if they are still known."""
        upstream = self._upstream_for(key, upstream)
        if len(self._workers) + len(self._sent) < MAX_CONCURRENT:
            if not self._send(key, upstream):
                self._start_worker(key, upstream)
        elif len(self._queue) < MAX_QUEUED:
            self._queue.append((key, upstream))
        else:
            self._give_up(key, "too many are waiting to be closed")

    def _send(self, key: str, upstream: Upstream) -> bool:
        """Sends a close on an idle connection, and leaves the rest to its callbacks; False if that is not possible.

        Replaces a task with six coroutines and a timer: saves 60 k of the 1,727 k instructions of a short request.
        """
        exchange = upstream.call_on_idle(self._gateway.build_invoke_close(key)) if self._can_invoke else None
        if exchange is None:
            return False
        self._sent[exchange] = monotonic() + self._close_timeout
        exchange.on_end = partial(self._on_end, key, upstream)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._close_timeout, self._abort_overdue)
        return True

    def _abort_overdue(self) -> None:
        """Aborts overdue closes without a task, and sets their single timer for the next one."""
        now, self._timer = monotonic(), None
        for exchange, deadline in list(self._sent.items()):
            if deadline > now:
                self._timer = asyncio.get_running_loop().call_later(deadline - now, self._abort_overdue)
                return
            exchange.abort(UpstreamTimeout("The agent gateway did not answer a close in time."))

    def _on_end(self, key: str, upstream: Upstream, exchange: Exchange) -> None:
        """Ends a close without a task; unless the response was 200, a task continues it."""
        del self._sent[exchange]
        if exchange.failure is not None or exchange.status != 200:
            self._start_worker(key, upstream, exchange)
        elif self._queue:
            self._start_worker(*self._queue.popleft())
        if not self._sent and self._all_ended is not None and not self._all_ended.done():
            self._all_ended.set_result(None)

    def _start_worker(self, key: str, upstream: Upstream, first: Exchange | None = None) -> None:
        task = asyncio.create_task(self._work(key, upstream, first), name="close sessions")
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def _work(self, key: str, upstream: Upstream, first: Exchange | None) -> None:
        """Closes this session, then those in the queue. `first`: a first attempt that has ended."""
        await self._close(key, upstream, first)
        while self._queue:
            await self.close(*self._queue.popleft())

    async def close(self, key: str, upstream: Upstream | None = None) -> None:
        """Returns when the session is closed or given up."""
        await self._close(key, self._upstream_for(key, upstream))

    async def _close(self, key: str, upstream: Upstream, first: Exchange | None = None) -> None:
        try:
            if first is None or not self._is_closed(first):
                await self._try_to_close(key, upstream)
        except UpstreamRefused as error:
            self._give_up(key, error.message)
        except (ProxyError, TimeoutError):
            await self._retry(key, upstream)

    async def shutdown(self) -> None:
        """Waits for closes under way for as long as all attempts of one may take, then gives up the rest."""
        if self._sent:  # the timer aborts overdue ones
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended
        if self._timer is not None:
            self._timer.cancel()
        if self._workers:
            _, unfinished = await asyncio.wait(self._workers, timeout=ATTEMPTS * self._close_timeout)
            for task in unfinished:
                task.cancel()
        for key, _ in self._queue:
            self._give_up(key, "the proxy is stopping")
        await self._listener.stop()

    def _upstream_for(self, key: str, upstream: Upstream | None) -> Upstream:
        remembered = self._session_upstreams.pop(key, None)
        return upstream or remembered or self.upstream

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
        """One attempt. Raises TimeoutError, UpstreamRefused, and UpstreamError or a subclass."""
        async with asyncio.timeout(self._close_timeout):
            status = await self._call_close(key, upstream)
        check_status(status)

    def _is_closed(self, first: Exchange) -> bool:
        """Whether the attempt closed the session; False if the gateway lacks the method.

        Raises UpstreamRefused, and UpstreamError or a subclass.
        """
        if first.failure is not None:
            raise first.failure
        self._can_invoke = not self._gateway.is_unknown_method(first.status, first.take_body())
        if self._can_invoke:
            check_status(first.status)
        return self._can_invoke

    async def _call_close(self, key: str, upstream: Upstream) -> int:
        """Closes by the newest method that the gateway has; returns the status. Only the caller has a timeout."""
        if self._can_invoke:
            status, body = await upstream.call(self._gateway.build_invoke_close(key), NO_LIMITS)
            self._can_invoke = not self._gateway.is_unknown_method(status, body)
        if not self._can_invoke:
            async with self._listening(upstream):
                status, _ = await upstream.call(self._gateway.build_close(key), NO_LIMITS)
        return status

    @contextlib.asynccontextmanager
    async def _listening(self, upstream: Upstream) -> AsyncIterator[None]:
        """Keeps a connection to `/events` open: the shared one, or one for this close with the caller's credentials."""
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


def check_status(status: int) -> None:
    """Raises UpstreamRefused and UpstreamError unless a session is closed after a response with this status."""
    if status in (401, 403):
        raise UpstreamRefused(f"The agent gateway refuses the credentials ({status}).")
    if status >= 500:
        raise UpstreamError(f"The agent gateway answered a close with status {status}.")
