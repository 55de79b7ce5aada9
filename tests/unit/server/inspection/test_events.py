"""The inspector's event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oaicompat_proxy.server.context import SERVER
from oaicompat_proxy.server.inspection.events import MAX_READERS
from tests.support.inspection import API, Events, until_row
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import OPENING, Agent, run, text


@asynccontextmanager
async def following_a_run(proxy: StartProxy, agent: Agent) -> AsyncIterator[tuple[Events, asyncio.Event]]:
    """The events of a run that has begun its text, and what lets it go on to its end."""
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Xyzzyx"), go_on, run("Xyzzyx")[3:])
    front = await proxy(inspect=True)
    asking = asyncio.create_task(front.chat())
    row = await until_row(front, state="running")
    await agent.until(lambda: agent.runs and agent.runs[0].sent)
    async with Events(front, f"?run={row['id']}") as events:
        yield events, go_on
    await asking


async def test_the_list_lives(proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True)
    async with Events(front) as events:
        assert (await events.next("state"))["content"] is False
        asking = asyncio.create_task(front.chat())
        states = []
        while not states or states[-1] != "over":
            (row,) = (await events.next("runs"))["runs"]
            states.append(row["state"])
            go_on.set()
        await asking
    assert states[-1] == "over"
    assert set(states) <= {"reading", "waiting", "running", "over"}


async def test_one_run_is_followed(proxy: StartProxy, agent: Agent) -> None:
    async with following_a_run(proxy, agent) as (events, go_on):
        seen = await events.next("run")
        numbers = [each["n"] for each in seen["frames"]]
        go_on.set()
        while seen["run"]["state"] != "over":
            seen = await events.next("run")
            numbers += [each["n"] for each in seen["frames"]]
            assert "Xyzzyx" not in str(seen)
        assert numbers == list(range(seen["frames_total"])), "each frame once"


async def test_unchanged_bodies_are_masked_and_sent_once(proxy: StartProxy, agent: Agent) -> None:
    async with following_a_run(proxy, agent) as (events, go_on):
        seen = await events.next("run")
        assert seen["request"]["method"] == "POST"
        assert seen["request"]["bytes"] > 0
        assert len(seen["turns"]) == 1
        go_on.set()
        while seen["run"]["state"] != "over":
            seen = await events.next("run")
            assert not {"request", "turns"} & seen.keys()


async def test_readers_are_bounded(proxy: StartProxy) -> None:
    front = await proxy(inspect=True)
    readers = [Events(front) for _ in range(MAX_READERS)]
    for each in readers:
        await each.__aenter__()
        await each.next("state")
    assert (await front.get(f"{API}/events")).status == 503
    for each in readers:
        await each.__aexit__()


async def test_readers_do_not_hold_up_a_shutdown(proxy: StartProxy) -> None:
    front = await proxy(inspect=True)
    async with Events(front) as events:
        await events.next("state")
        front.app[SERVER].shutdown.begin()
        await events.to_end()
