"""Requests that wait for the run before them in their session: their number and their bytes are bounded."""

from __future__ import annotations

import asyncio

from tests.support.conformance import check_error_body
from tests.support.prometheus_text import scrape
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, closing, run, text

NAMED = {"X-Session-Id": "harbour"}


async def ask(front: Proxy, size: int = 0) -> Received:
    return await front.post(chat_body("x" * size + "?"), headers=NAMED)


async def waiting(front: Proxy, count: int) -> None:
    async with asyncio.timeout(10):
        while (await scrape(front)).total("oaicompat_runs_waiting") != count:  # noqa: ASYNC110 -- as an operator would see it
            await asyncio.sleep(0.01)


async def held(agent: Agent, front: Proxy) -> tuple[asyncio.Event, asyncio.Task[Received]]:
    """A run that goes on in the session until the event is set."""
    gate = asyncio.Event()
    agent.replies("/send", Reply([*OPENING, text("Well"), gate, *closing()]), Reply(run("Hello")))
    first = asyncio.create_task(ask(front))
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    return gate, first


async def test_so_many_wait_for_their_session_and_no_more(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(max_waiting=3, session_wait=30)
    gate, first = await held(agent, front)
    patient = [asyncio.create_task(ask(front)) for _ in range(3)]
    await waiting(front, 3)
    for _ in range(20):
        refused = await ask(front)
        assert (refused.status, check_error_body(refused.body)["code"]) == (503, "too_many_runs")
        assert float(refused.headers["Retry-After"]) > 0
    assert (await front.chat("Hi")).status == 200, "others need not wait, and run"
    gate.set()
    assert {each.status for each in await asyncio.gather(first, *patient)} == {200}
    assert (await ask(front)).status == 200


async def test_what_waits_holds_so_many_bytes_and_no_more(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(max_waiting_bytes=100_000, session_wait=30)
    gate, first = await held(agent, front)
    patient = [asyncio.create_task(ask(front, 60_000))]
    await waiting(front, 1)
    for _ in range(5):
        assert (await ask(front, 60_000)).status == 503
    patient.append(asyncio.create_task(ask(front, 20_000)))
    await waiting(front, 2)
    gate.set()
    assert {each.status for each in await asyncio.gather(first, *patient)} == {200}


async def test_who_leaves_makes_room(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(max_waiting=1, session_wait=30)
    gate, first = await held(agent, front)
    for _ in range(5):
        line = await front.dial()
        await line.post(chat_body("never mind"), headers=["X-Session-Id: harbour"])
        await waiting(front, 1)
        await line.close()
        await waiting(front, 0)
    gate.set()
    assert (await first).status == 200
