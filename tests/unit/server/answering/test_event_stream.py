from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.answering.event_stream import AnswerStream, ClientGone
from tests.support.conformance import PING, check_stream
from tests.support.leaks import no_tasks_left
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Exchange, Reply, closing, failure, run, text


async def test_pings_keep_a_silent_stream_warm_and_stand_between_events(proxy: StartProxy, agent: Agent) -> None:
    gates = [asyncio.Event() for _ in range(5)]
    pieces = [piece for gate in gates for piece in (text("word "), gate)]
    agent.plays(OPENING, *pieces, closing())
    line = await (await proxy(keep_alive=0.01)).dial()
    await line.post(chat_body(), version="1.0")
    await line.read_head()
    raw = b""
    for gate in gates:
        raw += await line.read_until(PING)
        gate.set()
    raw += await line.read_to_end()
    assert check_stream(raw, include_usage=False).text == "word " * 5


async def test_a_busy_stream_needs_no_pings(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("One ", "two"))
    assert PING not in (await (await proxy(keep_alive=10)).chat()).body


async def test_no_ping_comes_before_the_commit(proxy: StartProxy, agent: Agent) -> None:
    """It would be status 200."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("Model exploded"))
    front = await proxy(keep_alive=0.001)
    chat = asyncio.create_task(front.chat())
    await agent.until(lambda: agent.runs)
    for _ in range(20):
        await front.get("/healthz")
    gate.set()
    assert (await chat).status == 502


@pytest.mark.slow
@pytest.mark.parametrize("ending", [closing(), [failure("Model exploded")]])
async def test_a_first_word_at_the_end_of_patience_opens_once(
    proxy: StartProxy, agent: Agent, ending: list[bytes]
) -> None:
    """Both commit; the role goes out once, and the text after it."""
    chance = random.Random(7)
    patience = 0.01

    def reply(_exchange: Exchange) -> Reply:
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(chance.uniform(0.5, 1.5) * patience, gate.set)
        return Reply([*OPENING, gate, text("Hello"), *ending])

    agent.replies("/send", reply)
    front = await proxy(first_event_wait=patience, keep_alive=0.001)
    for received in await asyncio.gather(*(front.chat() for _ in range(100))):
        answer = check_stream(received.body, include_usage=False)
        assert (answer.text, answer.role) == ("Hello", "assistant")


@pytest.mark.slow
async def test_a_client_that_stalls_at_the_very_end_is_dropped(proxy: StartProxy, agent: Agent) -> None:
    """The last write waits for the client like all others, and no longer."""
    agent.plays(OPENING, b"".join([text("x" * 1_000_000)] * 12 + closing()))
    front = await proxy(send_timeout=0.3)
    tasks = asyncio.all_tasks()
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body())
    await agent.until(lambda: agent.runs)
    await no_tasks_left(besides=tasks | agent.tasks)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT")
async def test_the_kernel_gives_up_a_client_that_acknowledges_nothing(proxy: StartProxy, agent: Agent) -> None:
    """A vanished client's keep-alives fit the kernel's buffer for days, so that no write has to wait for it."""
    agent.plays(OPENING, text("Hello"), asyncio.Event())
    front = await proxy(send_timeout=7)
    with socket.create_connection(("127.0.0.1", front.port)) as client:
        body = chat_body()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.sendall(head + body)
        assert await asyncio.to_thread(client.recv, 100)
        assert _user_timeouts(client.getsockname()) == [7000]


def _user_timeouts(peer: tuple[str, int]) -> list[int]:
    """In milliseconds, of this process's sockets whose other end has this address."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as sock:
            if sock.getpeername() == peer:
                found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    return found


async def test_a_commit_finds_a_client_that_has_just_left() -> None:
    """The end of patience and the end of the connection may fall into one turn of the loop."""
    request = make_mocked_request("POST", "/v1/chat/completions", protocol=Mock())
    request.protocol.transport = None
    stream = AnswerStream(request, Config(upstream="http://127.0.0.1:1"), Mock())
    with pytest.raises(ClientGone):
        await stream.write(b"data: 1\n\n")
