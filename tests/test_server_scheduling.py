"""What comes up in one turn of the loop is done together, in its order, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest
from jumping import timeless

from oaicompat_proxy.server.scheduling import Batch


@timeless
async def test_what_comes_in_one_turn_is_handed_on_together_behind_it() -> None:
    told: list[list[int]] = []
    batch = Batch(told.append)
    loop = asyncio.get_running_loop()
    for number in (1, 2):
        loop.call_soon(batch.add, number)
    await asyncio.sleep(0)
    assert (told, len(batch)) == ([], 2)
    await asyncio.sleep(0)
    assert (told, len(batch)) == ([[1, 2]], 0)
    batch.add(3)
    await asyncio.sleep(0)
    assert told == [[1, 2], [3]]


@timeless
async def test_it_can_be_handed_on_at_once_and_then_only_then() -> None:
    told: list[list[int]] = []
    batch = Batch(told.append)
    batch.flush()
    batch.add(1)
    batch.flush()
    assert told == [[1]]
    batch.add(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [[1], [2]]


@timeless
async def test_what_comes_up_while_it_is_handed_on_has_its_own_turn() -> None:
    told: list[list[int]] = []

    def handle(items: list[int]) -> None:
        told.append(items)
        if items[0] < 3:
            batch.add(items[0] + 1)

    batch = Batch(handle)
    batch.add(1)
    for _ in range(4):
        await asyncio.sleep(0)
    assert told == [[1], [2], [3]]


def test_a_fault_in_handling_concerns_only_those_it_was_handed() -> None:
    told: list[list[int]] = []
    faults: list[object] = []

    def handle(items: list[int]) -> None:
        told.append(items)
        if len(told) == 1:
            raise ZeroDivisionError

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        batch = Batch(handle)
        for number in (1, 2):
            batch.add(number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())
    assert told == [[1], [2]]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


def test_without_a_loop_there_is_no_turn() -> None:
    with pytest.raises(RuntimeError):
        Batch(print).add(1)
