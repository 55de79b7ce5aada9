"""The client misbehaves, by the byte and by the moment: the run is stopped, its session closed, nothing is left.

Clients of every API do so.

What is left is looked for by the fixtures: an answer that is still read, a session, a task, a socket.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import pytest

from tests.support.api_clients import CHAT_CLIENT, CLIENTS, ApiClient
from tests.support.pipeline import Options
from tests.support.proxy import Proxy, StartProxy
from tests.support.raw_client import Step, play, read_answer
from tests.support.scripted_gateway import LAST_WORD, OPENING, PATIENCE, Agent, Exchange, Reply, answer, flat, run, text

pytestmark = pytest.mark.slow

LEAVING: tuple[Step, ...] = ("close", "reset", "half-close")
AT_ONCE = 40
BEAT = 0.002
"""Seconds between two words of the agent."""
STRIDE = 29
"""Bytes of an answer between two places to leave at."""

WORDS = [f"word{number} " for number in range(10)]
SPOKEN = "".join(WORDS)

Count = Callable[[str, object], None]

each_api = pytest.mark.parametrize("client", CLIENTS, ids=str)


def request(client: ApiClient = CHAT_CLIENT, *, stream: bool = True, name: str = "", closing: bool = False) -> bytes:
    """`name`: of the session. `closing`: the connection ends with the answer."""
    body = client.request("Hello", {}, stream=stream)
    lines = [
        f"POST {client.path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"X-Session-Id: {name}"] if name else []
    lines += ["Connection: close"] if closing else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def speaks_slowly(agent: Agent) -> None:
    """Ten words, then the end; a pause in front of each."""
    words = flat([BEAT, text(word)] for word in WORDS)
    agent.plays(OPENING, words, BEAT, LAST_WORD)


async def play_all(front: Proxy, scripts: Sequence[list[Step]], count: Count) -> list[bytes]:
    """What each of them read, on a connection of its own; some are at it together."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(script: list[Step]) -> bytes:
        async with limit, asyncio.timeout(PATIENCE):
            line = await front.dial()
            received = await play(line, script)
            await line.close()
            front.lines.remove(line)
            return received

    received = await asyncio.gather(*map(one, scripts))
    count("faults", {"client": len(scripts)})
    return received


async def text_of(received: bytes, client: ApiClient = CHAT_CLIENT, *, stream: bool) -> str | None:
    """The text of the one answer that was read, to the proxy's close."""
    reader = asyncio.StreamReader()
    reader.feed_data(received)
    reader.feed_eof()
    status, _, body = await read_answer(reader)
    assert await reader.read() == b"", "something follows the answer"
    assert status == 200
    text, error = client.read(status, body, Options(), stream=stream)
    assert error is None
    return text


async def stopped(agent: Agent) -> None:
    """Nothing is read any more, and every session is closed, once; also one that the gateway may not know."""
    await agent.until(lambda: not agent.left_behind)
    closed = {*agent.closed_sessions}
    assert closed >= {each.session for each in agent.runs}
    assert len(closed) == len(agent.closed_sessions)


# It leaves


@each_api
@pytest.mark.parametrize("how", LEAVING)
async def test_it_leaves_at_every_byte_of_its_request(
    proxy: StartProxy, agent: Agent, record_property: Count, how: Step, client: ApiClient
) -> None:
    """Half a request runs nothing."""
    agent.plays(OPENING, "stall")
    front = await proxy()
    whole = request(client)
    await play_all(front, [[whole[:count], how] for count in range(len(whole))], record_property)
    await stopped(agent)
    assert not agent.runs


@each_api
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("stream", [True, False])
async def test_it_leaves_at_many_bytes_of_its_answer(
    proxy: StartProxy, agent: Agent, record_property: Count, how: Step, stream: bool, client: ApiClient
) -> None:
    speaks_slowly(agent)
    front = await proxy()
    asking = request(client, stream=stream, closing=True)
    (whole,) = await play_all(front, [[asking, "read"]], record_property)
    assert (await text_of(whole, client, stream=stream)) == SPOKEN
    scripts: list[list[Step]] = [[asking, count, how] for count in range(1, len(whole), STRIDE)]
    await play_all(front, scripts, record_property)
    await stopped(agent)


STAGES: dict[str, tuple[list[Step], Reply]] = {
    "before the gateway answers": ([], Reply(["stall"], framing="raw")),
    "before the gateway's headers are whole": ([], Reply([b"HTTP/1.1 200 OK\r\nConte", "stall"], framing="raw")),
    "before the first event": ([], Reply(["stall"])),
    "before the first word": ([], Reply([*OPENING, "stall"])),
    "in the middle of a frame": ([], Reply([*OPENING, text("Well")[:90], "stall"])),
    "after the first word": ([1], Reply([*OPENING, text("Well"), "stall"])),
    "while comments keep the line warm": ([400], Reply([*OPENING, text("Well"), "stall"])),
    "behind the last word": ([1], Reply([*run("Well"), "stall"])),
}


@each_api
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("stream", [True, False])
async def test_it_leaves_at_every_stage(
    proxy: StartProxy, agent: Agent, record_property: Count, how: Step, stage: str, stream: bool, client: ApiClient
) -> None:
    reading, reply = STAGES[stage]
    agent.replies("/send", reply)
    front = await proxy(keep_alive=0.01)
    line = await front.dial()
    await play(line, [request(client, stream=stream)])
    await agent.until(lambda: agent.runs)
    await play(line, [*(reading if stream else []), 0.005, how])
    await stopped(agent)
    assert agent.runs[0].outcome == "left" or how == "half-close" or "last word" in stage
    record_property("faults", {"client": 1})


@each_api
@pytest.mark.parametrize("stream", [True, False])
async def test_a_session_is_not_closed_before_the_gateway_has_heard_of_it(
    proxy: StartProxy, agent: Agent, stream: bool, client: ApiClient
) -> None:
    """A close goes out on another connection: one that overtakes the call would close nothing."""
    answered: list[bool] = []

    def close(_: Exchange) -> Reply:
        answered.append(agent.runs[0].sent > 0)
        return answer({"ok": True})

    agent.replies("/send", Reply([0.1, Reply([]).head(), "stall"], framing="raw"))
    agent.replies("/close", close)
    line = await (await proxy()).dial()
    await play(line, [request(client, stream=stream)])
    await agent.until(lambda: agent.runs)
    await play(line, ["reset"])
    await stopped(agent)
    assert answered == [True]


@each_api
@pytest.mark.parametrize("stream", [True, False])
async def test_it_leaves_at_every_millisecond(
    proxy: StartProxy, agent: Agent, record_property: Count, stream: bool, client: ApiClient
) -> None:
    speaks_slowly(agent)
    front = await proxy()
    moments = itertools.product(range(40), LEAVING)
    scripts: list[list[Step]] = [[request(client, stream=stream), after / 1000, how] for after, how in moments]
    await play_all(front, scripts, record_property)
    await stopped(agent)


@each_api
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("stream", [True, False])
async def test_it_leaves_a_session_that_keeps_its_history(
    proxy: StartProxy, agent: Agent, record_property: Count, how: Step, stream: bool, client: ApiClient
) -> None:
    """The run is read to its end, and the next request of the session waits for that."""
    speaks_slowly(agent)
    front = await proxy()
    scripts: list[list[Step]] = [
        [request(client, stream=stream, name=f"harbour-{after}"), after / 1000, how] for after in range(0, 40, 4)
    ]
    await play_all(front, scripts, record_property)
    again: list[list[Step]] = [
        [request(client, stream=stream, name=f"harbour-{after}", closing=True), "read"] for after in range(0, 40, 4)
    ]
    for received in await play_all(front, again, record_property):
        assert (await text_of(received, client, stream=stream)) == SPOKEN
    assert {each.outcome for each in agent.runs} == {"played"}
    assert not agent.closed_sessions
    agent.kept_sessions |= {each.session for each in agent.runs}


# It is slow, or says too much


@each_api
@pytest.mark.parametrize("stream", [True, False])
async def test_it_sends_in_drips(
    proxy: StartProxy, agent: Agent, record_property: Count, stream: bool, client: ApiClient
) -> None:
    agent.plays(run(*WORDS))
    whole = request(client, stream=stream, closing=True)
    scripts: list[list[Step]] = []
    for size in (1, 7, 100):
        drips = [whole[start : start + size] for start in range(0, len(whole), size)]
        scripts.append([*itertools.chain.from_iterable((drip, 0.0005) for drip in drips), "read"])
    for received in await play_all(await proxy(), scripts, record_property):
        assert (await text_of(received, client, stream=stream)) == SPOKEN
    await stopped(agent)


@each_api
@pytest.mark.parametrize("stream", [True, False])
async def test_it_reads_in_drips(
    proxy: StartProxy, agent: Agent, record_property: Count, stream: bool, client: ApiClient
) -> None:
    speaks_slowly(agent)
    scripts: list[list[Step]] = [
        [request(client, stream=stream, closing=True), *itertools.chain.from_iterable([(size, 0.001)] * 50), "read"]
        for size in (1, 7, 40)
    ]
    for received in await play_all(await proxy(), scripts, record_property):
        assert (await text_of(received, client, stream=stream)) == SPOKEN
    await stopped(agent)


MORE = {
    "another request": request(),
    "half a request": request()[:70],
    "empty lines": b"\r\n\r\n",
    "no HTTP": b"GET\x00",
    "the end of a longer body": b"{}",
}


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
async def test_it_leaves_with_more_on_the_line_than_it_may_ask(
    proxy: StartProxy, agent: Agent, record_property: Count, more: bytes, how: Step
) -> None:
    speaks_slowly(agent)
    front = await proxy()
    scripts: list[list[Step]] = [[request() + more, after / 1000, how] for after in range(0, 40, 5)]
    await play_all(front, scripts, record_property)
    await stopped(agent)
