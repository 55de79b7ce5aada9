"""Readiness of a gateway: concurrent probes share one check of bounded time, and its result is cached for a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

CACHE_SECONDS = 1.0
"""Seconds for which a result is cached."""

CHECK_TIMEOUT = 5.0
"""Seconds for one check; most supervisors wait no longer."""


class Readiness:
    """Whether one gateway can serve."""

    def __init__(self, check: Callable[[], Awaitable[str]]) -> None:
        """`check`: returns a note, or raises."""
        self._check = check
        # state
        self._checking: asyncio.Task[str] | None = None
        self._checked_at = 0.0
        self._is_ready = True

    async def check(self) -> str:
        """Returns the note of a shared or cached check. Raises what it raises, and TimeoutError after CHECK_TIMEOUT."""
        loop = asyncio.get_running_loop()
        task = self._checking
        if task is None or (task.done() and loop.time() >= self._checked_at + CACHE_SECONDS):
            task = self._checking = asyncio.create_task(self._run_check(), name="check the gateway")
        return await asyncio.shield(task)

    async def _run_check(self) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                return await self._check()
        finally:
            self._checked_at = asyncio.get_running_loop().time()

    def log_change(self, label: str, reason: str) -> None:
        """Logs the first check that fails, with its reason, and the first that succeeds again.

        Most supervisors show only the status of a probe. `label`: the prefix of the gateway if there are several.
        """
        if self._is_ready and reason:
            log.warning("not ready: %s%s", label, reason)
        elif not self._is_ready and not reason:
            log.info("%sready again", label)
        self._is_ready = not reason
