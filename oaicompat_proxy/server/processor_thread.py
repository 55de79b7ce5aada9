"""A thread for work that takes the processor for long: meanwhile other requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ProcessorThread:
    """One thread, so that the event loop waits for at most one other piece of work: 5 ms, Python's switch interval."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "processor")

    async def run(self, work: Callable[[], T]) -> T:
        """Raises what the work raises. Work that nobody waits for any more is done to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
