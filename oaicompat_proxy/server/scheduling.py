"""What comes up in one turn of the loop, done together at its end.

Under load many requests end in the same turn. What has to be done for each of them afterwards takes longer when other
work lies in between: code that is used once a request has left the processor's caches by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Batch(Generic[T]):
    """Collects until the loop has done what else it has to do now."""

    __slots__ = ("_handle", "_items")

    def __init__(self, handle: Callable[[list[T]], None]) -> None:
        """`handle`: takes what was collected, in its order; never nothing."""
        self._handle = handle
        self._items: list[T] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        if not self._items:
            asyncio.get_running_loop().call_soon(self.flush)
        self._items.append(item)

    def flush(self) -> None:
        """Hands on at once what is there."""
        if self._items:
            items, self._items = self._items, []
            self._handle(items)
