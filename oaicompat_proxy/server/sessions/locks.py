"""Session locks: one run at a time in a session, because a gateway sends a concurrent call the stream of the first.

These locks are for one process; `redis_locks` is for workers and replicas that serve the same sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ...core.errors import SessionBusy

ReleaseLock = Callable[[], Awaitable[None]]

OnLost = Callable[[], None]
"""Called once if another process may get the lock before its release; the run has to stop."""


class SessionLocks(Protocol):
    @property
    def held(self) -> int:
        """Number of locks that this process holds."""

    def open(self) -> None:
        """Starts the renewal of locks. Needs a running event loop."""

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> ReleaseLock:
        """Returns the function that releases the lock. Raises SessionBusy after `wait` seconds.

        `is_new`: the key was just made, so no other run can hold its lock.
        """
        ...

    async def close(self) -> None:
        """Stops the renewal, at shutdown."""
        ...


def session_busy() -> SessionBusy:
    return SessionBusy("Another run of this session is still active; wait for its end, or use another session.")


class MemoryLocks:
    """The locks of one process."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def held(self) -> int:
        return len(self._locks)

    def open(self) -> None: ...

    async def acquire(self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False) -> ReleaseLock:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        if users and not wait:
            raise session_busy()
        self._locks[key] = lock, users + 1
        try:
            async with asyncio.timeout(wait):
                await lock.acquire()
        except TimeoutError:
            self._remove_user(key)
            raise session_busy() from None
        except BaseException:
            self._remove_user(key)
            raise

        async def release() -> None:
            lock.release()
            self._remove_user(key)

        return release

    def _remove_user(self, key: str) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = lock, users - 1

    async def close(self) -> None: ...
