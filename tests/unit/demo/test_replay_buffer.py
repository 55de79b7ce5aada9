"""The buffer of a run, whole and faulty."""

import asyncio

from oaicompat_proxy.demo.replay_buffer import Notifier, ReplayBuffer
from oaicompat_proxy.demo.script import DropConnection


def numbers(seen: list[bytes | DropConnection]) -> str:
    return " ".join(item.decode() if isinstance(item, bytes) else "cut" for item in seen)


async def everything(replay: ReplayBuffer) -> str:
    return numbers([item async for item in replay.read()])


async def test_who_comes_late_sees_it_from_the_start() -> None:
    replay = ReplayBuffer()
    replay.put(b"1")
    early = asyncio.create_task(everything(replay))
    await asyncio.sleep(0)
    replay.put(b"2")
    replay.put(DropConnection())
    replay.close()
    assert (await early, await everything(replay)) == ("1 2 cut", "1 2 cut")


async def test_the_faulty_buffer_gives_two_readers_what_was_measured() -> None:
    replay = ReplayBuffer(corrupt=True)
    first, second = replay.read(), replay.read()
    for number in range(1, 7):
        replay.put(b"%d" % number)
    replay.close()
    assert numbers([item async for item in first]) == "1 3 3 5 5"
    assert numbers([item async for item in second]) == "2 2 4 4 6 6"


async def test_the_fault_begins_when_the_second_reader_joins() -> None:
    replay = ReplayBuffer(corrupt=True)
    first = replay.read()
    replay.put(b"a")
    replay.put(b"b")
    second = replay.read()
    replay.put(b"c")
    replay.put(b"d")
    replay.close()
    assert numbers([item async for item in first]) == "a b c"
    assert numbers([item async for item in second]) == "a b d d"


async def test_one_reader_never_meets_the_fault() -> None:
    replay = ReplayBuffer(corrupt=True)
    for number in range(3):
        replay.put(b"%d" % number)
    replay.close()
    assert await everything(replay) == "0 1 2"


async def test_a_bell_wakes_all_who_wait() -> None:
    notifier = Notifier()
    waiting = [asyncio.create_task(notifier.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    notifier.notify()
    await asyncio.gather(*waiting)
