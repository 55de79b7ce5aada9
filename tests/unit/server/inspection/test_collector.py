"""The runs that are kept: so many, and so much memory."""

from __future__ import annotations

import asyncio

from tests.support.inspection import ask, rows, until_row
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import OPENING, Agent, run, text


async def test_the_oldest_run_makes_room(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True, inspect_runs=2)
    for _ in range(4):
        await front.chat()
    assert [row["id"].rpartition("-")[2] for row in await rows(front)] == ["3", "4"]


async def test_runs_that_go_on_are_not_dropped(proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True, inspect_runs=1)
    first = asyncio.create_task(front.chat())
    kept = await until_row(front, state="running")
    second = asyncio.create_task(front.chat())
    await agent.until(lambda: len(agent.runs) == 2)
    assert [row["id"] for row in await rows(front)] == [kept["id"]]
    assert (await ask(front))["left_out"] == 1
    go_on.set()
    await asyncio.gather(first, second)


async def test_the_bytes_of_the_oldest_make_room(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("x" * 10_000))
    front = await proxy(inspect=True, inspect_bytes=128 * 1024)
    for _ in range(12):
        await front.chat()
    shown = await ask(front)
    kept = [row["kept"] for row in shown["runs"]]
    assert (kept[0], kept[-1]) == ("dropped", "whole")
    assert shown["held_bytes"] <= 128 * 1024


async def test_a_run_that_is_too_large_is_cut(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(*["x" * 1000] * 200))
    front = await proxy(inspect=True, inspect_bytes=64 * 1024)
    received = await front.chat()
    assert b"[DONE]" in received.body
    (row,) = await rows(front)
    assert row["kept"] == "cut"
    assert (await ask(front))["held_bytes"] <= 64 * 1024
