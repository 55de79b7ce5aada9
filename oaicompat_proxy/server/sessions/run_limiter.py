"""Limits concurrent runs, in total and for each API key; requests above a limit wait in FIFO order.

Each process counts its own runs: the runs of a worker end with it, so nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import Overloaded, ProxyError, TooManyRuns


class RunPermit:
    """The right to one run, until it is released."""

    __slots__ = ("_caller", "_limiter")

    def __init__(self, limiter: RunLimiter, caller: Caller) -> None:
        self._limiter: RunLimiter | None = limiter
        self._caller = caller

    def release(self) -> None:
        """Idempotent."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.release(self._caller)


class RunLimiter:
    """Grants permits in the order of requests. A key at its own limit does not delay the requests of other keys."""

    def __init__(self, config: Config) -> None:
        self._queue_wait = config.queue_wait
        self._max_waiting = config.max_waiting
        self._max_waiting_bytes = config.max_waiting_bytes
        # state
        self._available = config.max_runs
        self.running_by_key: dict[str, int] = {}
        """Permits held by each key that holds any; callers without a key are counted under the empty name."""
        self._queue: dict[asyncio.Future[None], Caller] = {}
        self.waiting = 0
        """Requests that wait for a permit, or for their session."""
        self._waiting_bytes = 0
        """Size of the bodies of these requests."""

    @property
    def running(self) -> int:
        return sum(self.running_by_key.values())

    async def acquire(self, caller: Caller, size: int = 0) -> RunPermit:
        """Waits for a permit, at most `queue_wait`. Raises TooManyRuns at the key's own limit, otherwise Overloaded.

        `size`: bytes of the request body, which stays in memory while the request waits.
        """
        permit = self.acquire_now(caller)
        if permit is not None:
            return permit
        with self.queued(caller, size):
            await self._wait(caller)
        return RunPermit(self, caller)

    def acquire_now(self, caller: Caller) -> RunPermit | None:
        """A permit, if one is available for the caller; queued requests do not matter, since none of them could run."""
        if not self._may_run(caller):
            return None
        self._grant(caller)
        return RunPermit(self, caller)

    @contextlib.contextmanager
    def queued(self, caller: Caller, size: int) -> Iterator[None]:
        """Counts a waiting request. Raises what `acquire` raises if too many requests or bytes are waiting."""
        if self.waiting >= self._max_waiting or self._waiting_bytes + size > self._max_waiting_bytes:
            raise self._rejection(caller)
        self.waiting += 1
        self._waiting_bytes += size
        try:
            yield
        finally:
            self.waiting -= 1
            self._waiting_bytes -= size

    def release(self, caller: Caller) -> None:
        self._available += 1
        left = self.running_by_key[caller.name] - 1
        if left:
            self.running_by_key[caller.name] = left
        else:
            del self.running_by_key[caller.name]
        if self._queue:
            self._grant_queued()

    def _grant_queued(self) -> None:
        """Grants available permits to the oldest requests that may run."""
        for granted, caller in list(self._queue.items()):
            if not self._available:
                return
            if not granted.done() and self._may_run(caller):
                self._grant(caller)
                del self._queue[granted]
                granted.set_result(None)

    def _may_run(self, caller: Caller) -> bool:
        return self._available > 0 and not self._at_own_limit(caller)

    def _at_own_limit(self, caller: Caller) -> bool:
        return 0 < caller.max_runs <= self.running_by_key.get(caller.name, 0)

    def _grant(self, caller: Caller) -> None:
        self._available -= 1
        self.running_by_key[caller.name] = self.running_by_key.get(caller.name, 0) + 1

    async def _wait(self, caller: Caller) -> None:
        granted = asyncio.get_running_loop().create_future()
        self._queue[granted] = caller
        try:
            async with asyncio.timeout(self._queue_wait):
                await granted
        except BaseException as error:
            self._queue.pop(granted, None)
            if granted.done() and not granted.cancelled():
                self.release(caller)  # granted in the same event loop iteration in which the wait ended
            if isinstance(error, TimeoutError):
                raise self._rejection(caller) from None
            raise

    def _rejection(self, caller: Caller) -> ProxyError:
        if self._at_own_limit(caller):
            return TooManyRuns(
                f"Too many requests at once: this key may have {caller.max_runs}. Please try again when one has ended."
            )
        return Overloaded("This server runs as many requests as it can at once. Please try again later.")
