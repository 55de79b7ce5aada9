"""How many runs go on at once, for everybody together and for each key; the others wait in the order they came.

A run is counted in this process alone: a worker that dies takes its runs with it, and nothing is left to tidy up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web

from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import Overloaded, ProxyError, TooManyRuns


class Slot:
    """The right to one run, until it is freed."""

    __slots__ = ("_caller", "_slots")

    def __init__(self, slots: Slots, caller: Caller) -> None:
        self._slots: Slots | None = slots
        self._caller = caller

    def free(self) -> None:
        """Once is enough; more does no harm."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back(self._caller)


class Slots:
    """Gives a slot to whoever came first and may have one: a key at its own limit does not hold up the others."""

    def __init__(self, config: Config) -> None:
        self._wait = config.queue_wait
        self._most_waiting = config.max_waiting
        self._most_bytes = config.max_waiting_bytes
        # moving
        self._free = config.max_runs
        self._running: dict[str, int] = {}
        """By the name of a caller, if it has any."""
        self._waiting: dict[asyncio.Future[None], Caller] = {}
        self.waiting = 0
        """Requests that wait for a slot, or for their session."""
        self._bytes = 0
        """Of their bodies."""

    @property
    def running(self) -> int:
        return sum(self._running.values())

    async def take(self, caller: Caller, size: int = 0) -> Slot:
        """Waits for its turn. Raises TooManyRuns if the key has its share, Overloaded if nothing is free.

        `size`: bytes of the request's body.
        """
        if self._fits(caller):  # then nobody waits who could have it
            self._grant(caller)
        else:
            with self.queued(caller, size):
                await self._queue(caller)
        return Slot(self, caller)

    @contextlib.contextmanager
    def queued(self, caller: Caller, size: int) -> Iterator[None]:
        """A request waits, with a body of `size` bytes. Raises what `take` raises if too much is waiting already."""
        if self.waiting >= self._most_waiting or self._bytes + size > self._most_bytes:
            raise self._refusal(caller)
        self.waiting += 1
        self._bytes += size
        try:
            yield
        finally:
            self.waiting -= 1
            self._bytes -= size

    def give_back(self, caller: Caller) -> None:
        self._free += 1
        left = self._running[caller.name] - 1
        if left:
            self._running[caller.name] = left
        else:
            del self._running[caller.name]
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        """Those who have waited longest, and may have what is free."""
        for turn, waiting in list(self._waiting.items()):
            if not self._free:
                return
            if not turn.done() and self._fits(waiting):
                self._grant(waiting)
                del self._waiting[turn]
                turn.set_result(None)

    def _fits(self, caller: Caller) -> bool:
        return self._free > 0 and not (caller.max_runs and self._has_its_share(caller))

    def _has_its_share(self, caller: Caller) -> bool:
        return 0 < caller.max_runs <= self._running.get(caller.name, 0)

    def _grant(self, caller: Caller) -> None:
        self._free -= 1
        self._running[caller.name] = self._running.get(caller.name, 0) + 1

    async def _queue(self, caller: Caller) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = caller
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            self._waiting.pop(turn, None)
            if turn.done() and not turn.cancelled():
                self.give_back(caller)  # it came in the very moment of leaving
            if isinstance(error, TimeoutError):
                raise self._refusal(caller) from None
            raise

    def _refusal(self, caller: Caller) -> ProxyError:
        if self._has_its_share(caller):
            return TooManyRuns(
                f"Too many requests at once: this key may have {caller.max_runs}. Please try again when one has ended."
            )
        return Overloaded("This server runs as many requests as it can at once. Please try again later.")


SLOTS = web.AppKey("oaicompat_proxy.slots", Slots)
