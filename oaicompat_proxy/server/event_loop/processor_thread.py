"""A thread for long computations, so that the event loop serves other requests meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ProcessorThread:
    """A single thread, so the event loop waits for at most one other thread: 5 ms, Python's switch interval."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "processor")

    async def run(self, work: Callable[[], T]) -> T:
        """Runs the work and returns its result. Raises what the work raises. A cancellation does not stop the work."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
