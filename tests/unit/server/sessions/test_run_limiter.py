"""RunLimiter: limits hold, waiting requests are granted in FIFO order; alone, and from socket to socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import Overloaded, TooManyRuns
from oaicompat_proxy.server.runtime import RUNTIME
from oaicompat_proxy.server.sessions.run_limiter import RunLimiter, RunPermit
from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import Line, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, failure, run, text

ANYBODY = Caller("", "")
ADA = Caller("ada", "", max_runs=1)
BOB = Caller("bob", "", max_runs=1)


def new_limiter(most: int = 1, **settings: Any) -> RunLimiter:
    return RunLimiter(Config(demo=True, max_runs=most, **settings))


async def settled() -> None:
    """Everything that can go on without time has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_as_may_run_do_not_wait() -> None:
    limiter = new_limiter(2)
    taken = [await limiter.acquire(ANYBODY) for _ in range(2)]
    assert (limiter.running, limiter.waiting) == (2, 0)
    for permit in taken:
        permit.release()
    assert limiter.running == 0


async def test_others_wait_and_come_in_the_order_they_asked() -> None:
    limiter = new_limiter()
    first = await limiter.acquire(ANYBODY)
    order: list[int] = []

    async def ask(number: int) -> None:
        permit = await limiter.acquire(ANYBODY)
        order.append(number)
        permit.release()

    asking = [asyncio.create_task(ask(number)) for number in range(5)]
    await settled()
    assert (order, limiter.waiting) == ([], 5)
    first.release()
    await asyncio.gather(*asking)
    assert order == [0, 1, 2, 3, 4]
    assert (limiter.running, limiter.waiting) == (0, 0)


async def test_a_permit_is_freed_once() -> None:
    limiter = new_limiter()
    permit = await limiter.acquire(ANYBODY)
    permit.release()
    permit.release()
    await limiter.acquire(ANYBODY)
    waiting = asyncio.create_task(limiter.acquire(ANYBODY))
    await settled()
    assert not waiting.done()
    waiting.cancel()


async def test_who_comes_later_does_not_overtake() -> None:
    limiter = new_limiter()
    first = await limiter.acquire(ANYBODY)
    waiting = asyncio.create_task(limiter.acquire(ANYBODY))
    await settled()
    first.release()
    late = asyncio.create_task(limiter.acquire(ANYBODY))
    await settled()
    assert waiting.done()
    assert not late.done()
    waiting.result().release()
    (await late).release()


async def test_a_key_at_its_limit_does_not_hold_up_the_others() -> None:
    limiter = new_limiter(3)
    first = await limiter.acquire(ADA)
    second = asyncio.create_task(limiter.acquire(ADA))
    await settled()
    bobs = await limiter.acquire(BOB)
    assert (limiter.running, limiter.waiting) == (2, 1)
    bobs.release()
    await settled()
    assert not second.done(), "the free permit is not for this key"
    first.release()
    (await second).release()


async def test_who_leaves_while_waiting_is_forgotten() -> None:
    limiter = new_limiter()
    first = await limiter.acquire(ANYBODY)
    leaving, staying = (asyncio.create_task(limiter.acquire(ANYBODY)) for _ in range(2))
    await settled()
    leaving.cancel()
    await settled()
    assert limiter.waiting == 1
    first.release()
    (await staying).release()
    assert limiter.running == 0


@pytest.mark.parametrize("order", ["granted first", "left first"])
async def test_a_permit_given_to_one_who_leaves_goes_to_the_next(order: str) -> None:
    limiter = new_limiter()
    first = await limiter.acquire(ANYBODY)
    leaving, staying = (asyncio.create_task(limiter.acquire(ANYBODY)) for _ in range(2))
    await settled()
    acts = [first.release, leaving.cancel]
    for act in acts if order == "granted first" else reversed(acts):
        act()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (await staying).release()
    assert (limiter.running, limiter.waiting) == (0, 0)


async def test_nobody_waits_for_longer_than_is_set() -> None:
    limiter = new_limiter(queue_wait=0.01)
    permit = await limiter.acquire(ANYBODY)
    with pytest.raises(Overloaded) as raised:
        await limiter.acquire(ANYBODY)
    assert (raised.value.status, raised.value.should_retry) == (503, True)
    assert limiter.waiting == 0
    permit.release()


async def test_a_key_at_its_limit_gets_an_error() -> None:
    limiter = new_limiter(10, queue_wait=0)
    await limiter.acquire(ADA)
    with pytest.raises(TooManyRuns, match="1") as raised:
        await limiter.acquire(ADA)
    assert (raised.value.status, raised.value.should_retry) == (429, True)
    await limiter.acquire(BOB)


async def test_no_more_wait_than_may() -> None:
    limiter = new_limiter(max_waiting=1)
    first = await limiter.acquire(ANYBODY)
    waiting = asyncio.create_task(limiter.acquire(ANYBODY))
    await settled()
    with pytest.raises(Overloaded):
        await limiter.acquire(ANYBODY)
    assert limiter.waiting == 1
    first.release()
    (await waiting).release()


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_and_goes_the_limits_hold_and_nothing_is_lost(seed: int) -> None:
    dice = random.Random(seed)
    limiter = new_limiter(4, max_waiting=6, queue_wait=0.002)
    callers = [ANYBODY, ADA, Caller("eve", "", max_runs=2)]
    running: dict[str, int] = dict.fromkeys([caller.name for caller in callers], 0)

    async def work(caller: Caller) -> None:
        permit: RunPermit = await limiter.acquire(caller)
        running[caller.name] += 1
        assert sum(running.values()) <= 4
        assert not caller.max_runs or running[caller.name] <= caller.max_runs
        try:
            await asyncio.sleep(dice.random() / 1000)
        finally:
            running[caller.name] -= 1
            permit.release()

    tasks: list[asyncio.Task[None]] = []
    for _ in range(100):
        tasks.append(asyncio.create_task(work(dice.choice(callers))))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.5:
            await asyncio.sleep(0)
        assert limiter.waiting <= 6
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    strange = [end for end in ends if not isinstance(end, None | Overloaded | TooManyRuns | asyncio.CancelledError)]
    assert strange == []
    assert None in ends
    assert (limiter.running, limiter.waiting) == (0, 0)
    assert not limiter.running_by_key, "no memory is left of keys that rest"


# Socket to socket


def code_of(body: bytes) -> str:
    return str(check_error_body(body)["code"])


async def waits(front: Proxy, count: int = 1) -> None:
    await until(lambda: front.app[RUNTIME].limiter.waiting == count)


async def until(condition: Callable[[], bool]) -> None:
    """Polls the condition: the limiter announces no changes."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def running_line(front: Proxy, agent: Agent, **headers: str) -> Line:
    """A request whose run is going on."""
    before = len(agent.runs)
    line = await front.dial()
    await line.post(chat_body(), headers=[f"{name.replace('_', '-')}: {value}" for name, value in headers.items()])
    await agent.until(lambda: len(agent.runs) > before)
    return line


async def test_a_request_waits_for_the_end_of_another(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    front = await proxy(max_runs=1)
    first = asyncio.create_task(front.chat())
    await agent.until(lambda: agent.runs)
    second = asyncio.create_task(front.chat(stream=False))
    await waits(front)
    assert len(agent.runs) == 1
    gate.set()
    assert check_stream((await first).body, include_usage=False).text == "Hello"
    assert (await second).status == 200
    assert front.app[RUNTIME].limiter.running == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_full_house_is_a_503_that_may_be_tried_again(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(OPENING, "stall")
    front = await proxy(max_runs=1, queue_wait=0.01)
    line = await running_line(front, agent)
    received = await front.chat(stream=stream)
    assert (received.status, code_of(received.body)) == (503, "too_many_runs")
    assert (received.headers["x-should-retry"], received.headers["retry-after"]) == ("true", "2")
    assert len(agent.runs) == 1
    await line.close()


async def test_a_key_with_its_share_is_a_429_and_others_go_on(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, "stall")
    front = await proxy(api_key=("ada", "bob"), max_runs_per_key=1, queue_wait=0)
    line = await running_line(front, agent, Authorization="Bearer ada")
    received = await front.post(chat_body(), headers={"Authorization": "Bearer ada"})
    assert (received.status, code_of(received.body)) == (429, "too_many_runs")
    assert received.headers["x-should-retry"] == "true"
    other = await running_line(front, agent, Authorization="Bearer bob")
    assert front.app[RUNTIME].limiter.running == 2
    await line.close()
    await other.close()


async def test_a_client_that_leaves_while_it_waits_is_forgotten(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, "stall")
    front = await proxy(max_runs=1)
    line = await running_line(front, agent)
    leaving = await front.dial()
    await leaving.post(chat_body())
    await waits(front)
    await leaving.close()
    await waits(front, 0)
    assert len(agent.runs) == 1
    await line.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("end", ["well", "failed", "cut", "refused", "client left"])
async def test_a_permit_is_given_back_however_a_run_ends(
    proxy: StartProxy, agent: Agent, path: str, stream: bool, end: str
) -> None:
    plays: dict[str, list[Any]] = {
        "well": [run("Hello")],
        "failed": [OPENING, failure("Model exploded")],
        "cut": [OPENING, text("Hel"), "cut"],
        "refused": [b"{}"],
        "client left": [OPENING, "stall"],
    }
    agent.plays(*plays[end], **({"status": 500} if end == "refused" else {}))
    front = await proxy(max_runs=1, queue_wait=2)
    for _ in range(3):
        line = await front.dial()
        await line.post(chat_body(stream=stream, prompt="Hi"), path=path, headers=["Connection: close"])
        before = len(agent.runs)
        if end == "client left":
            await agent.until(lambda before=before: len(agent.runs) > before)
            await line.close()
        else:
            assert await line.read_to_end()
    assert len(agent.runs) == 3
    await until(lambda: not front.app[RUNTIME].limiter.running)


@pytest.mark.parametrize("body", [b"{", b'{"messages": []}', chat_body(n=2)])
async def test_what_is_refused_takes_no_permit(proxy: StartProxy, agent: Agent, body: bytes) -> None:
    agent.plays(OPENING, "stall")
    front = await proxy(max_runs=1)
    line = await running_line(front, agent)
    assert (await front.post(body)).status == 400
    assert front.app[RUNTIME].limiter.waiting == 0
    await line.close()


async def test_a_run_that_goes_on_without_its_reader_keeps_its_permit(proxy: StartProxy, agent: Agent) -> None:
    """Else a key could have any number of such runs, one after the other."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    front = await proxy(max_runs=1)
    line = await running_line(front, agent, X_Session_Id="harbour")
    agent.kept_sessions.add(agent.runs[0].session)
    await line.close()
    second = asyncio.create_task(front.chat())
    await waits(front)
    assert len(agent.runs) == 1
    gate.set()
    assert (await second).status == 200
    assert front.app[RUNTIME].limiter.running == 0
