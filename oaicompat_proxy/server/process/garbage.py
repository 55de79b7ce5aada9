"""Runs the garbage collector rarely, instead of whenever many streams begin.

Reference counts free what a request leaves. The collector is for cycles, which only rare paths leave: errors and
retries. CPython starts it after a number of net allocations, that is while many streams begin at once, and it looks at
all their objects: with 200 streams it stopped the event loop for 5 to 11 ms.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import resource
import sys
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

MUCH = 64 * 1024 * 1024
"""Bytes by which the peak of memory has grown since the last collection, after which it is due like after MANY: a few
cycles may hold large bodies."""

SHARE = 0.02
"""The largest share of the time that the collector takes: one collection takes 0.3 µs for each object of a stream."""


def peak_of_memory() -> int:
    """Bytes of the largest resident size that the process has had; getrusage(2) counts them in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Collector:
    """Collects when it is due. Objects made before the server was ready are frozen: no collection looks at them."""

    def __init__(self, clock: Callable[[], float] = monotonic, peak: Callable[[], int] = peak_of_memory) -> None:
        """`clock`: seconds. `peak`: bytes of memory, which never fall."""
        self._clock = clock
        self._peak = peak
        # state
        self._ended = clock()
        self._last_peak = peak()
        self._took = 0.0

    def is_due(self, allocations: int) -> bool:
        """`allocations`: containers allocated and not freed since the last collection, garbage or not."""
        since = self._clock() - self._ended
        if allocations > MANY or self._peak() - self._last_peak > MUCH:
            return since * SHARE >= self._took
        return allocations > FEW and since >= LONGEST_INTERVAL

    def collect(self) -> None:
        """Frees all cycles that nothing refers to any more."""
        begun = self._clock()
        gc.collect()
        self._ended = self._clock()
        self._last_peak = self._peak()
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


def end_without_collections() -> None:
    """The interpreter's end looks at no object: all memory is returned anyway, and it took 0.3 s of processor time."""
    atexit.register(gc.freeze)
