"""Sessions are closed in the background, so that no client waits for it; closing one also stops its run.

What a gateway offers differs. Newer ones close by `/invoke`; an embedded one closes on `/close`; a standalone one
only while some client listens on `/events`, so one such connection is kept from the first such close on. Where the
gateway knows only its callers' credentials, a session is closed with those that have opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ...core.errors import ProxyError, UpstreamError, UpstreamRefused
from ...dialects.protocol import Gateway
from ..scheduling import Batch
from .gateway_client import Upstream
from .http_exchange import Exchange, Limits

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often a close is tried: with the pauses between, a gateway has about four seconds to come back."""

FIRST_PAUSE = 0.5

MOST_AT_ONCE = 100
"""Closes under way at once that need a task; the others wait for their turn. Those on a connection that is there
anyway have no such limit: each such connection has a row of them at most."""

MOST_WAITING = 10_000
"""Closes that wait; more means that the gateway is gone, and its sessions with it."""

MOST_IN_A_ROW = 32
"""Closes that are asked on one connection without waiting for the answer to the one before."""

REST = 60.0
"""Seconds for which they are asked one by one where that has failed: not all that may stand before a gateway takes it,
and some close a connection after so many requests."""

GREETING = 1.0
"""Seconds for the first event of `/events`, which comes at once where it comes at all."""


class Closing(Protocol):
    """What becomes of a session that nobody needs any more."""

    failed: int
    """Sessions that could not be closed."""
    retried: int
    """Attempts beside the first ones."""

    @property
    def unfinished(self) -> int:
        """Sessions that are closed right now, or wait for it."""

    def remember(self, key: str, upstream: Upstream) -> None: ...

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def close(self, key: str, upstream: Upstream | None = None) -> None: ...

    async def settle(self) -> None: ...


class NothingToClose:
    """Where no gateway keeps sessions: a run ends with its connection, and nothing is left of it."""

    failed = retried = unfinished = 0

    def remember(self, key: str, upstream: Upstream) -> None:
        pass

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        pass

    async def close(self, key: str, upstream: Upstream | None = None) -> None:
        pass

    async def settle(self) -> None:
        pass


class Closer:
    """Closes sessions, and counts those that could not be closed."""

    def __init__(
        self, upstream: Upstream, gateway: Gateway, *, close_timeout: float, speakers: dict[str, Upstream] | None = None
    ) -> None:
        """`close_timeout`: seconds that one attempt may take. `speakers`: what `remember` has been told so far."""
        self._upstream = upstream
        self._gateway = gateway
        self._close_timeout = close_timeout
        self._limits = Limits(whole=close_timeout)
        self._listener = Listener(upstream, gateway)
        # moving
        self.failed = 0
        self.retried = 0
        self._due = Batch(self._ask_all)
        self._one_by_one_until = 0.0
        """By the loop's time."""
        self._asked: set[Exchange] = set()
        """Closes that need no task so far."""
        self._heard: asyncio.Future[None] | None = None
        """When none of them is left."""
        self._waiting: deque[tuple[str, Upstream, bool]] = deque()
        """And whether it has been tried once."""
        self._closing: set[asyncio.Task[None]] = set()
        self._can_invoke = True
        self._speakers = {} if speakers is None else speakers
        """Sessions that only their callers can close, the oldest first."""

    def remember(self, key: str, upstream: Upstream) -> None:
        """The session is kept. Where it is its caller's credentials that open the gateway, they will close it, too."""
        if upstream.speaks_for_client:
            self._speakers.pop(key, None)
            self._speakers[key] = upstream
            if len(self._speakers) > MOST_WAITING:
                del self._speakers[next(iter(self._speakers))]

    @property
    def unfinished(self) -> int:
        return len(self._due) + len(self._asked) + len(self._waiting) + len(self._closing)

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        """`upstream`: the gateway as its caller calls it, where that is still known."""
        self._due.add((key, self._speaker(key, upstream)))

    def _speaker(self, key: str, upstream: Upstream | None) -> Upstream:
        remembered = self._speakers.pop(key, None)
        return upstream or remembered or self._upstream

    def _ask_all(self, due: list[tuple[str, Upstream]]) -> None:
        by_upstream: dict[Upstream, list[str]] = {}
        for key, upstream in due:
            by_upstream.setdefault(upstream, []).append(key)
        most = MOST_IN_A_ROW if asyncio.get_running_loop().time() >= self._one_by_one_until else 1
        for upstream, keys in by_upstream.items():
            for start in range(0, len(keys), most):
                self._ask(keys[start : start + most], upstream)

    def _ask(self, keys: list[str], upstream: Upstream) -> None:
        """At once, on a connection that is there; there nearly always is one."""
        calls = [self._gateway.build_invoke_close(key) for key in keys] if self._can_invoke else []
        exchanges = upstream.ask_in_a_row(calls, self._limits) if calls else []
        for key, exchange in itertools.zip_longest(keys, exchanges):
            if exchange is None:
                self._enqueue(key, upstream)
            else:
                self._asked.add(exchange)
                exchange.on_end = functools.partial(self._hear, exchange, key, upstream, in_row=len(keys) > 1)

    def _hear(self, exchange: Exchange, key: str, upstream: Upstream, *, in_row: bool) -> None:
        """What is not simply closed has its turn, in any way that this gateway may offer."""
        self._asked.discard(exchange)
        failed = exchange.failure is not None
        if failed and in_row:
            self._one_by_one_until = asyncio.get_running_loop().time() + REST
            self._enqueue(key, upstream)
        elif failed or exchange.status != 200:
            self._enqueue(key, upstream, tried=failed or exchange.status >= 500)
        if not self._asked and self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    def _enqueue(self, key: str, upstream: Upstream, *, tried: bool = False) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._give_up(key, "too many are waiting to be closed")
            return
        self._waiting.append((key, upstream, tried))
        if len(self._closing) < MOST_AT_ONCE:
            task = asyncio.create_task(self._close_waiting(), name="close sessions")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def settle(self) -> None:
        """At the end of the process: waits for what is being closed, as long as all attempts of a few may take."""
        self._due.flush()
        while self._asked:
            self._heard = asyncio.get_running_loop().create_future()
            await self._heard
        if self._closing:
            _, unfinished = await asyncio.wait(self._closing, timeout=ATTEMPTS * self._close_timeout)
            for task in unfinished:
                task.cancel()
        for key, *_ in self._waiting:
            self._give_up(key, "the proxy is stopping")
        await self._listener.stop()

    async def _close_waiting(self) -> None:
        while self._waiting:
            key, upstream, tried = self._waiting.popleft()
            await (self._insist(key, upstream) if tried else self.close(key, upstream))

    async def close(self, key: str, upstream: Upstream | None = None) -> None:
        """Returns when it is closed or given up."""
        upstream = self._speaker(key, upstream)
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._try_to_close(key, upstream)
        except UpstreamRefused as error:
            self._give_up(key, error.message)
        except (ProxyError, TimeoutError):
            await self._insist(key, upstream)

    async def _insist(self, key: str, upstream: Upstream) -> None:
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
                    async with asyncio.timeout(self._close_timeout):
                        await self._try_to_close(key, upstream)
        except (ProxyError, TimeoutError) as error:
            self._give_up(key, str(error) or "timeout")

    async def _try_to_close(self, key: str, upstream: Upstream) -> None:
        if self._can_invoke:
            status, body = await upstream.call(self._gateway.build_invoke_close(key))
            self._can_invoke = not self._gateway.is_unknown_method(status, body)
        if not self._can_invoke:
            async with self._listening(upstream):
                status, _ = await upstream.call(self._gateway.build_close(key))
        if status in (401, 403):
            raise UpstreamRefused(f"The agent gateway refuses the credentials ({status}).")
        if status >= 500:
            raise UpstreamError(f"The agent gateway answered a close with status {status}.")

    @contextlib.asynccontextmanager
    async def _listening(self, upstream: Upstream) -> AsyncIterator[None]:
        """With a connection to `/events`: ours, or one with the caller's own credentials for as long as it takes."""
        listener = Listener(upstream, self._gateway) if upstream.speaks_for_client else self._listener
        try:
            await listener.ensure()
            yield
        finally:
            if listener is not self._listener:
                await listener.stop()

    def _give_up(self, key: str, reason: str) -> None:
        self.failed += 1
        log.warning("session %s could not be closed: %s", key, reason)


class Listener:
    """One connection to the gateway's `/events`, made when it is first needed and kept."""

    def __init__(self, upstream: Upstream, gateway: Gateway) -> None:
        self._upstream = upstream
        self._path = gateway.events_path(f"oaicompat-proxy-{uuid.uuid4().hex}")
        # moving
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._absent = False

    async def ensure(self) -> None:
        """Returns with a connection, or without one where the gateway has no `/events`."""
        async with self._lock:
            if self._absent or (self._reading is not None and not self._reading.done()):
                return
            try:
                exchange = await self._upstream.listen(self._path)
            except UpstreamError as error:
                self._absent = isinstance(error, UpstreamRefused)  # an embedded gateway may have none, and needs none
                return
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(exchange.cut)
                with contextlib.suppress(TimeoutError, UpstreamError):
                    async with asyncio.timeout(GREETING):
                        await exchange.read()  # the gateway counts us from its first event on
                on_failure.pop_all()
            self._reading = asyncio.create_task(self._read(exchange), name="listen to the gateway")

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self, exchange: Exchange) -> None:
        """Throws away what comes: heartbeats, since we subscribe to nothing."""
        try:
            with contextlib.suppress(UpstreamError):
                while await exchange.read():
                    pass
        finally:
            exchange.cut()
