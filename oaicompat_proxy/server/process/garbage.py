"""Runs the garbage collector rarely, instead of whenever many streams begin.

Reference counts free what a request leaves. The collector is for cycles, which only rare paths leave: errors and
retries. CPython starts it after a number of net allocations, that is while many streams begin at once, and it looks at
all their objects: with 200 streams it stopped the event loop for 5 to 11 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from time import monotonic

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the number of allocations."""

LONGEST_INTERVAL = 60.0
"""Seconds after which even little garbage is collected."""

FEW = 1_000
"""Net allocations that are no reason to collect."""

MANY = 100_000
"""Net allocations that are collected before LONGEST_INTERVAL has passed. A stream that begins makes 125."""

SHARE = 0.02
"""The largest share of the time that the collector takes: one collection takes 0.3 µs for each object of a stream."""


class Collector:
    """Collects when it is due. Objects made before the server was ready are frozen: no collection looks at them."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        # state
        self._ended = clock()
        self._took = 0.0

    def is_due(self, allocations: int) -> bool:
        """`allocations`: containers allocated and not freed since the last collection, garbage or not."""
        since = self._clock() - self._ended
        if allocations > MANY:
            return since * SHARE >= self._took
        return allocations > FEW and since >= LONGEST_INTERVAL

    def collect(self) -> None:
        """Frees all cycles that nothing refers to any more."""
        begun = self._clock()
        gc.collect()
        self._ended = self._clock()
        self._took = self._ended - begun

    async def run(self) -> None:
        """Collects until it is cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            if self.is_due(gc.get_count()[0]):
                self.collect()


@contextlib.contextmanager
def no_automatic_collections() -> Iterator[None]:
    """Inside, only `gc.collect` collects, and it does not look at objects that exist already."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextlib.contextmanager
def collecting() -> Iterator[None]:
    """A collector of its own while serving. Entered on the event loop, once everything of the start exists."""
    with no_automatic_collections():
        task = asyncio.create_task(Collector().run())
        try:
            yield
        finally:
            task.cancel()
