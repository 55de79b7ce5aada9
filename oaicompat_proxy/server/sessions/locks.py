"""One run at a time in a session: the gateway would hand a second caller the first one's stream.

Here in memory, for one process; `redis_locks` is for several workers or replicas that serve the same sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ...core.errors import SessionBusy

Release = Callable[[], Awaitable[None]]

OnLost = Callable[[], None]
"""Is called once if the lock may become somebody else's before it is given back: what it protects has to stop."""


class SessionLocks(Protocol):
    @property
    def held(self) -> int:
        """How many this process holds."""

    def open(self) -> None:
        """Starts what keeps the locks. Needs a running event loop."""

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> Release:
        """Returns what gives the lock back. Raises SessionBusy after `wait` seconds.

        `is_new`: nobody else can know the key, so nobody can hold it.
        """
        ...

    async def close(self) -> None:
        """At the end of the process."""
        ...


def busy() -> SessionBusy:
    return SessionBusy("Another run of this session is still going on; wait for its end, or use another session.")


class MemoryLocks:
    """For one process."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def held(self) -> int:
        return len(self._locks)

    def open(self) -> None:
        """Memory needs no task."""

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> Release:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        if users and not wait:
            raise busy()
        self._locks[key] = lock, users + 1
        try:
            async with asyncio.timeout(wait):
                await lock.acquire()
        except TimeoutError:
            self._leave(key)
            raise busy() from None
        except BaseException:
            self._leave(key)
            raise

        async def release() -> None:
            lock.release()
            self._leave(key)

        return release

    def _leave(self, key: str) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = lock, users - 1

    async def close(self) -> None:
        """Memory needs no end."""
