"""One run at a time in a session: the gateway would hand a second caller the first one's stream.

In memory for one process; in Redis where several workers or replicas serve the same sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SessionBusy, SessionsUnavailable
from .redis_client import mapped_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

Release = Callable[[], Awaitable[None]]

REDIS_LEASE = 30.0
"""Seconds after which a lock of a worker that died is free again; a living worker renews it long before."""


class SessionLocks(Protocol):
    @property
    def held(self) -> int:
        """How many this process holds."""

    async def acquire(self, key: str, *, wait: float) -> Release:
        """Returns what gives the lock back. Raises SessionBusy after `wait` seconds."""
        ...


def _busy() -> SessionBusy:
    return SessionBusy("Another run of this session is still going on; wait for its end, or use another session.")


class MemoryLocks:
    """For one process."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def held(self) -> int:
        return len(self._locks)

    async def acquire(self, key: str, *, wait: float) -> Release:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        if users and not wait:
            raise _busy()
        self._locks[key] = lock, users + 1
        try:
            async with asyncio.timeout(wait):
                await lock.acquire()
        except TimeoutError:
            self._leave(key)
            raise _busy() from None
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


class RedisLocks:
    """For all processes that share a Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._returning: set[asyncio.Task[None]] = set()
        self.held = 0

    async def acquire(self, key: str, *, wait: float) -> Release:
        """Raises SessionsUnavailable too."""
        lock = self._redis.lock(f"oaicompat:lock:{key}", timeout=REDIS_LEASE, thread_local=False)
        token = secrets.token_hex(16)
        try:
            with mapped_errors():
                acquired = await lock.acquire(blocking=wait > 0, blocking_timeout=wait, token=token)
        except BaseException:
            self._return(lock, token)
            raise
        if not acquired:
            raise _busy()
        renewing = asyncio.create_task(_renew(lock), name="renew session lock")
        self.held += 1

        async def release() -> None:
            self.held -= 1
            renewing.cancel()
            await asyncio.wait([renewing])
            await _release(lock)

        return release

    def _return(self, lock: Any, token: str) -> None:
        """Redis may have given the lock although nobody was there any more to hear it."""
        lock.local.token = token
        task = asyncio.create_task(_release(lock), name="return session lock")
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)


async def _renew(lock: Any) -> None:
    from redis.exceptions import LockError

    while True:
        await asyncio.sleep(REDIS_LEASE / 3)
        try:
            with mapped_errors():
                await lock.reacquire()
        except SessionsUnavailable as error:
            if isinstance(error.__cause__, LockError):
                return  # somebody else has it by now; the run goes on


async def _release(lock: Any) -> None:
    with contextlib.suppress(SessionsUnavailable), mapped_errors():  # it ran out, or Redis is gone: then it runs out
        await lock.release()
