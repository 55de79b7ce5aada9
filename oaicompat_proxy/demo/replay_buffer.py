"""The replay buffer of a running execution: each reader starts at the first frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .script import DropConnection


class Notifier:
    """Wakes all current waiters at each `notify`."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        await self._changed.wait()


class ReplayBuffer:
    """The frames of one execution. `corrupt` reproduces a fault of the real buffer: each frame wakes only one of two
    readers.

    Measured on the real gateway: two readers of frames 1 to 6 got `1 3 3 5 5` and `2 2 4 4 6 6`.
    """

    def __init__(self, corrupt: bool = False) -> None:
        self._corrupt = corrupt
        self._notifier = Notifier()
        # state
        self._items: list[bytes | DropConnection] = []
        self._closed = False
        self._readers = 0
        self._shared_from: int | None = None

    def put(self, item: bytes | DropConnection) -> None:
        self._items.append(item)
        self._notifier.notify()

    def close(self) -> None:
        self._closed = True
        self._notifier.notify()

    def read(self) -> AsyncIterator[bytes | DropConnection]:
        """Registers the reader at once, not when it asks for its first item."""
        reader = self._readers
        self._readers += 1
        if reader == 1 and self._corrupt:
            self._shared_from = len(self._items)
        return self._read(reader)

    async def _read(self, reader: int) -> AsyncIterator[bytes | DropConnection]:
        place = 0
        while True:
            while place < len(self._items):
                for _ in range(self._copies(place, reader)):
                    yield self._items[place]
                place += 1
            if self._closed:
                return
            await self._notifier.wait()

    def _copies(self, place: int, reader: int) -> int:
        """How many times this reader gets the item at this place."""
        if self._shared_from is None or place < self._shared_from:
            return 1
        since = place - self._shared_from
        if since % 2 != reader % 2:
            return 0
        return 2 if since else 1
