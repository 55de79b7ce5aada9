"""Places for test streams: at most four of one caller, and no caller has all of them for long."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.core.errors import DiagnosticsBusy
from oaicompat_proxy.server.endpoints import diagnostic_streams
from oaicompat_proxy.server.endpoints.diagnostic_streams import MAX_PER_CALLER, MAX_STREAMS, DiagnosticStreams


@pytest.fixture
async def streams() -> DiagnosticStreams:
    return DiagnosticStreams()


async def hold(streams: DiagnosticStreams, caller: str, token: str = "") -> asyncio.Task[None]:
    """A stream that goes on. Raises DiagnosticsBusy."""
    began = asyncio.Event()

    async def send() -> None:
        async with streams.watch(caller, token):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(send())
    beginning = asyncio.create_task(began.wait())
    await asyncio.wait([task, beginning], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        beginning.cancel()
        task.result()
    return task


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_one_caller_has_four(streams: DiagnosticStreams) -> None:
    tasks = [await hold(streams, "ada") for _ in range(MAX_PER_CALLER)]
    with pytest.raises(DiagnosticsBusy):
        await hold(streams, "ada")
    tasks.append(await hold(streams, "bob"))
    await end(tasks[0])
    tasks.append(await hold(streams, "ada"))
    await end(*tasks)


async def test_who_has_fewer_gets_a_place_of_who_has_most(streams: DiagnosticStreams) -> None:
    callers = [f"c{number}" for number in range(MAX_STREAMS // MAX_PER_CALLER) for _ in range(MAX_PER_CALLER)]
    tasks = [await hold(streams, caller, f"t{number}") for number, caller in enumerate(callers)]
    tasks.append(await hold(streams, "ada"))
    await asyncio.wait([tasks[0]])
    assert streams.state("t0") == {"known": True, "running": False, "left_seconds_ago": None}, (
        "its client did not leave"
    )
    assert all(not task.done() for task in tasks[1:])
    await end(*tasks[1:])


async def test_who_has_as_many_as_all_others_waits(streams: DiagnosticStreams) -> None:
    tasks = [await hold(streams, f"c{number}") for number in range(MAX_STREAMS)]
    with pytest.raises(DiagnosticsBusy):
        await hold(streams, "ada")
    await end(*tasks)


async def test_a_stream_ends_in_time_though_nobody_reads_it(
    streams: DiagnosticStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostic_streams, "MAX_SECONDS", 0.05)
    task = await hold(streams, "ada", "t")
    await asyncio.wait([task])
    with pytest.raises(ConnectionResetError):
        task.result()
    assert streams.state("t")["running"] is False
