"""A known answer is one read of a whole run, read or pushed."""

from __future__ import annotations

from collections.abc import Iterable

from oaicompat_proxy.core.events import Event, RunEnded, RunStarted, TextDelta
from oaicompat_proxy.server.answering.known_answer import KnownAnswer

RUN = [RunStarted(), TextDelta("06:12"), RunEnded()]


async def test_it_is_read_once() -> None:
    source = KnownAnswer("06:12")
    await source.open()
    assert [list(events) async for events in source] == [RUN]
    assert [events async for events in source] == []
    assert source.arrived > 0


async def test_it_is_pushed_once() -> None:
    pushed: list[Event] = []

    def take(events: Iterable[Event]) -> bool:
        pushed.extend(events)
        return True

    await KnownAnswer("06:12").push_to(take)
    assert pushed == RUN
