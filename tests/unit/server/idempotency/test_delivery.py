"""A recording as its clients get it: warm, whole, each at its own pace."""

from __future__ import annotations

import asyncio

import pytest

from oaicompat_proxy.server.context import SERVER
from tests.support.conformance import PING, check_body, check_error_body, check_stream
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, run, text

KEY_LINE = ("Idempotency-Key: k-1",)


async def test_every_client_has_its_own_pings_between_events(proxy: StartProxy, agent: Agent) -> None:
    """Before the first word, which does not come, and between words; never in an event, never behind the end."""
    gates = [asyncio.Event() for _ in range(3)]
    agent.plays(OPENING, *[step for gate in gates for step in (gate, text("word "))], closing())
    front = await proxy(keep_alive=0.02, first_event_wait=0.05)
    lines = [await front.dial() for _ in range(3)]
    bodies = [b""] * 3
    for line in lines:
        await line.post(chat_body(), version="1.0", headers=KEY_LINE)
        assert (await line.read_head())[0] == 200
    for gate in gates:
        for index, line in enumerate(lines):
            bodies[index] += await line.read_until(PING)
        gate.set()
    for index, line in enumerate(lines):
        bodies[index] += await line.read_to_end()
        assert bodies[index].endswith(b"data: [DONE]\n\n")
        assert check_stream(bodies[index], include_usage=False).text == "word " * 3
    assert len(agent.runs) == 1


async def test_a_whole_answer_is_kept_warm_if_that_is_wanted(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(json_keep_alive=0.02)
    lines = [await front.dial() for _ in range(2)]
    for line in lines:
        await line.post(chat_body(stream=False), version="1.0", headers=KEY_LINE)
        assert (await line.read_head())[0] == 200
        assert await line.read(1) == b"\n"
    gate.set()
    for line in lines:
        body = (await line.read_to_end()).lstrip(b"\n")
        assert b"\n" not in body
        assert check_body(body).text == "Hello"


@pytest.mark.slow
@pytest.mark.parametrize("stalls", ["the first", "a joiner"])
async def test_who_stalls_is_dropped_alone(proxy: StartProxy, agent: Agent, stalls: str) -> None:
    """The answer is longer than the buffer, so the agent waits for both readers, until one is dropped."""
    pieces = ["x" * 100_000] * 150
    gate = asyncio.Event()
    agent.plays(OPENING, gate, list(map(text, pieces)), closing())
    front = await proxy(send_timeout=0.5, max_idempotent_answer=1_000_000)
    lines = []
    for buffer in (4096, None) if stalls == "the first" else (None, 4096):
        lines.append(await front.dial(receive_buffer=buffer))
        await lines[-1].post(chat_body(), version="1.0", headers=KEY_LINE)
        await agent.until(lambda: agent.runs)
    await asyncio.sleep(0.05)
    gate.set()
    reading = lines[1 if stalls == "the first" else 0]
    await reading.read_head()
    assert check_stream(await reading.read_to_end(), include_usage=False).text == "".join(pieces)
    assert len(agent.runs) == 1


async def test_a_stored_answer_goes_out_in_portions_to_a_slow_client(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(*["x" * 50_000] * 60))
    front = await proxy()
    first = await front.post(chat_body(), headers={"Idempotency-Key": "k-1"})
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body(), version="1.0", headers=KEY_LINE)
    await line.read_head()
    assert await line.read_to_end() == first.body


@pytest.mark.parametrize("stream", [True, False])
async def test_readers_get_an_error_when_the_process_ends(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """As those are who have a run of their own: before anything was sent, and in mid-answer."""
    agent.plays(OPENING, text("word "), "stall")
    front = await proxy()
    lines = [await front.dial() for _ in range(2)]
    for line in lines:
        await line.post(chat_body(stream=stream), version="1.0", headers=KEY_LINE)
    texts = [b"".join([await line.read_until(b"word ") for _ in range(stream)]) for line in lines]
    await agent.until(lambda: agent.runs)
    front.app[SERVER].shutdown.interrupt()
    for index, line in enumerate(lines):
        head, _, body = (texts[index] + await line.read_to_end()).partition(b"\r\n\r\n")
        if stream:
            error = check_stream(body, include_usage=False).error
        else:
            assert head.startswith(b"HTTP/1.0 503 ")
            assert b"x-should-retry: false" in head
            error = check_error_body(body)
        assert error is not None
        assert error["code"] == "answer_cut"
    assert len(agent.runs) == 1
    await agent.until(lambda: agent.closed_sessions)


async def test_those_whose_run_has_not_begun_may_try_again(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("word "), gate, closing())
    front = await proxy(max_runs=1, queue_wait=60)
    first = await front.dial()
    await first.post(chat_body())
    await first.read_head()
    lines = [await front.dial() for _ in range(2)]
    for line in lines:
        await line.post(chat_body(), headers=KEY_LINE)
    await asyncio.sleep(0.05)
    front.app[SERVER].shutdown.interrupt()
    for line in lines:
        status, headers = await line.read_head()
        error = check_error_body(await line.read(int(headers["content-length"])))
        assert (status, error["code"], headers["x-should-retry"]) == (503, "server_stopping", "true")
    assert len(agent.runs) == 1
    gate.set()


@pytest.mark.slow
async def test_a_reader_that_lags_is_notified_too(proxy: StartProxy, agent: Agent) -> None:
    """Its run is over long ago."""
    agent.plays(run(*["x" * 4096] * 400))
    front = await proxy(max_idempotent_answer=64 * 1024 * 1024)
    slow = await front.dial(receive_buffer=4096)
    await slow.post(chat_body(), headers=KEY_LINE)
    await slow.read_head()
    await agent.until(lambda: agent.closed_sessions)
    front.app[SERVER].shutdown.interrupt()
    answer = check_stream(await slow.read_chunks(), include_usage=False)
    assert answer.error is not None
    assert answer.error["code"] == "answer_cut"
