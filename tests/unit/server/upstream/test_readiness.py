"""Many who ask at once put one question, which takes its time at most, and is put again a second later."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.server.upstream import readiness
from oaicompat_proxy.server.upstream.readiness import Readiness
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer


class Gateway:
    """Answers when it is let, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def check(self) -> str:
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return "well"


async def test_all_who_ask_at_once_get_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    ready = Readiness(gateway.check)
    asking = [asyncio.create_task(ready.check()) for _ in range(100)]
    await asyncio.sleep(0)
    asking.pop().cancel()  # who leaves takes the question with it from nobody
    gateway.gate.set()
    assert set(await asyncio.gather(*asking)) == {"well"}
    assert (await ready.check(), gateway.asked) == ("well", 1)
    monkeypatch.setattr(readiness, "CACHE_SECONDS", 0.0)
    await ready.check()
    assert gateway.asked == 2


async def test_a_failure_holds_as_long() -> None:
    gateway = Gateway()
    gateway.gate.set()
    gateway.error = UpstreamError("gone")
    ready = Readiness(gateway.check)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await ready.check()
    assert gateway.asked == 1


async def test_a_gateway_that_says_nothing_is_waited_for_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECK_TIMEOUT", 0.05)
    with pytest.raises(TimeoutError):
        await Readiness(Gateway().check).check()


@pytest.mark.slow
async def test_readyz_asks_the_gateway_once_for_many(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", answer({"apps": []}))
    front = await proxy()
    before = len(agent.exchanges)
    answers = await asyncio.gather(*(front.get("/readyz") for _ in range(50)))
    assert {each.status for each in answers} == {200}
    assert len(agent.exchanges) - before == 1


async def test_readyz_is_red_in_bounded_time(proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECK_TIMEOUT", 0.2)
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    received = await (await proxy()).get("/readyz")
    assert received.status == 503
    assert b"in time" in received.body
