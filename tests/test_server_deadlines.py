"""Many deadlines on one timer: each is missed when it is due, unless it was lifted."""

from __future__ import annotations

import asyncio
from typing import Any

from jumping import timeless

from oaicompat_proxy.server.deadlines import Deadlines


class Bound:
    """Remembers when it missed its deadline."""

    def __init__(self) -> None:
        self.missed: list[float] = []

    def miss_deadline(self) -> None:
        self.missed.append(asyncio.get_running_loop().time())


def begin(deadlines: Deadlines) -> tuple[Bound, float]:
    """Someone whose deadline counts from now on, and when now is."""
    bound, loop = Bound(), asyncio.get_running_loop()
    deadlines.set(bound, loop)
    return bound, loop.time()


def handles() -> list[Any]:
    """Of the loop's timers."""
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()]


@timeless
async def test_each_is_missed_once_when_it_is_due() -> None:
    deadlines = Deadlines(10)
    first, at = begin(deadlines)
    await asyncio.sleep(4)
    second, later = begin(deadlines)
    await asyncio.sleep(30)
    assert (first.missed, second.missed) == ([at + 10], [later + 10])


@timeless
async def test_what_is_lifted_is_not_missed() -> None:
    deadlines = Deadlines(10)
    first, _ = begin(deadlines)
    second, at = begin(deadlines)
    for _ in range(2):
        deadlines.lift(first)
    await asyncio.sleep(30)
    assert (first.missed, second.missed) == ([], [at + 10])
    deadlines.lift(second)


@timeless
async def test_there_is_one_timer_for_all_and_none_for_nobody() -> None:
    deadlines = Deadlines(10)
    before = len(handles())
    everybody = [begin(deadlines)[0] for _ in range(100)]
    assert len(handles()) == before + 1
    for bound in everybody:
        deadlines.lift(bound)
    await asyncio.sleep(11)
    assert len(handles()) == before
    bound, at = begin(deadlines)
    await asyncio.sleep(11)
    assert bound.missed == [at + 10]


@timeless
async def test_who_misses_one_may_set_the_next() -> None:
    deadlines = Deadlines(10)

    class Patient(Bound):
        def miss_deadline(self) -> None:
            super().miss_deadline()
            if len(self.missed) < 3:
                deadlines.set(self, asyncio.get_running_loop())

    bound, loop = Patient(), asyncio.get_running_loop()
    at = loop.time()
    deadlines.set(bound, loop)
    await asyncio.sleep(100)
    assert bound.missed == [at + 10, at + 20, at + 30]


@timeless
async def test_a_fault_of_one_is_told_and_does_not_touch_the_others() -> None:
    deadlines, loop = Deadlines(10), asyncio.get_running_loop()
    told: list[Any] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    class Faulty(Bound):
        def miss_deadline(self) -> None:
            raise RuntimeError("boom")

    deadlines.set(Faulty(), loop)
    same, at = begin(deadlines)
    await asyncio.sleep(4)
    later, then = begin(deadlines)
    await asyncio.sleep(20)
    assert [str(error) for error in told] == ["boom"]
    assert (same.missed, later.missed) == ([at + 10], [then + 10])


@timeless
async def test_who_sets_the_next_among_others_needs_no_second_timer() -> None:
    deadlines, loop = Deadlines(10), asyncio.get_running_loop()

    class Again(Bound):
        def miss_deadline(self) -> None:
            super().miss_deadline()
            if len(self.missed) == 1:
                deadlines.set(self, loop)

    again = Again()
    deadlines.set(again, loop)
    await asyncio.sleep(4)
    other, at = begin(deadlines)
    await asyncio.sleep(7)
    assert len(again.missed) == 1
    assert len(handles()) == 1
    await asyncio.sleep(20)
    assert (len(again.missed), other.missed) == (2, [at + 10])
