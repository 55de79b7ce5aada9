"""A run as those see it who read its events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol, runtime_checkable

from ...core.events import Event


class Readable(Protocol):
    """A run as it is read: opened first, then events, read by read."""

    @property
    def arrived(self) -> float:
        """When the last read that was waited for came, by `time.perf_counter()`."""

    async def open(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Iterable[Event]]: ...


@runtime_checkable
class Pumpable(Readable, Protocol):
    """A run that can also push."""

    async def pump(self, take: Callable[[Iterable[Event]], bool]) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cut(self) -> None: ...
