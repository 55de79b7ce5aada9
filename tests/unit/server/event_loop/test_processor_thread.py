"""Long work leaves the event loop to others, one piece at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oaicompat_proxy.server.event_loop.processor_thread import ProcessorThread


async def test_the_loop_goes_on_meanwhile() -> None:
    served = threading.Event()

    def work() -> str:
        assert served.wait(10)
        return threading.current_thread().name

    waiting = asyncio.create_task(ProcessorThread().run(work))
    asyncio.get_running_loop().call_soon(served.set)
    assert (await waiting).startswith("processor")


async def test_one_piece_follows_the_other() -> None:
    thread, order = ProcessorThread(), []
    await asyncio.gather(*(thread.run(lambda number=number: order.append(number)) for number in range(20)))
    assert order == list(range(20))


async def test_a_failure_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ProcessorThread().run(fail)
