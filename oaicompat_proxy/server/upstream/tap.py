"""Lets somebody see the bytes that a run's reader gets. Only a run that is recorded has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...core.events import Event
from ...dialects.protocol import Reader

Take = Callable[[bytes], None]


class TappedReader:
    """A reader whose bytes somebody takes first."""

    def __init__(self, reader: Reader, take: Take) -> None:
        self._reader = reader
        self._take = take

    @property
    def over(self) -> bool:
        return self._reader.over

    @property
    def execution_id(self) -> str:
        return self._reader.execution_id

    @property
    def wait(self) -> float | None:
        return self._reader.wait

    @property
    def waits(self) -> int:
        return self._reader.waits

    def settle(self, *, at_end: bool) -> Iterable[Event]:
        return self._reader.settle(at_end=at_end)

    def feed(self, data: bytes) -> Iterable[Event]:
        self._take(data)
        return self._reader.feed(data)
