"""Clients that are slow, idle, or many: their cost is bounded, and others are served as usual."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.conformance import check_error_body, check_stream
from tests.support.processes import port_of, proxy_before
from tests.support.proxy import CHAT, Line, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, run, text
from tests.unit.server.endpoints.test_models import apps

pytestmark = pytest.mark.slow

log = logging.getLogger(__name__)

MANY = 9_000
IDLE_COST = 24 * 1024
"""Bytes of the process for each connection that does nothing; measured are 6 KB, and 15 KB with a part of a body."""
SLOW_COST = 1024 * 1024
"""Bytes that an agent may be ahead of a client that takes nothing; measured are 450 KB: 250 of them wait in the
system to be read by the proxy, 64 to be read by the client, the rest is between, in the proxy and in the agent."""
AT_ONCE = 1.0

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n".encode()


@pytest.fixture
def files() -> Iterator[None]:
    """As many as this process may open: this end of all connections, while the proxy's process has the other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("files")
async def test_nine_thousand_that_do_nothing_are_survived(agent: Agent) -> None:
    agent.replies("/invoke", apps("default"))
    agent.plays(run("Hello"))
    patience = ["--head-timeout", "60", "--body-timeout", "60"]
    async with proxy_before(agent.url, *patience, "--log-level", "warning") as (child, base):
        before = child.resident()
        sockets = await asyncio.to_thread(connect_many, port_of(base))
        try:
            began = time.monotonic()
            line = Line(*await asyncio.open_connection("127.0.0.1", port_of(base)))
            await line.post(chat_body(), headers=["Connection: close"])
            await line.read_head()
            assert check_stream(await line.read_chunks(), include_usage=False).text == "Hello"
            assert time.monotonic() - began < AT_ONCE
            cost = (child.resident() - before) / MANY
            log.info("bytes of a connection: %d", cost)
            assert cost < IDLE_COST
            await line.close()
        finally:
            for each in sockets:
                each.close()


def connect_many(port: int) -> list[socket.socket]:
    """Some send nothing, some a part of a head, some a part of a body. Returns when the proxy has read that."""
    sockets = []
    for request, _ in zip(
        itertools.cycle([b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n{"]), range(MANY), strict=False
    ):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(request)
        sockets.append(sock)
    with socket.create_connection(("127.0.0.1", port)) as last:
        last.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert last.recv(12) == b"HTTP/1.1 200"
    return sockets


async def test_a_head_that_does_not_come_is_given_up(proxy: StartProxy, agent: Agent) -> None:
    """Single bytes of it do not extend the time."""
    front = await proxy(head_timeout=0.3)
    line = await front.dial()
    began = time.monotonic()
    await line.send(HEAD)
    answer = asyncio.create_task(line.read_head())
    while not answer.done():
        await line.send(b"X")
        await asyncio.sleep(0.02)
    status, _ = await answer
    assert status == 408
    assert check_error_body(await line.read_to_end())["code"] == "request_timeout"
    assert 0.3 <= time.monotonic() - began < 5
    assert agent.exchanges == []


async def test_a_body_that_does_not_come_is_given_up(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy(body_timeout=0.3)).dial()
    await line.send(HEAD + b"Content-Length: 1000\r\n\r\n{")
    status, headers = await line.read_head()
    assert (status, headers["connection"]) == (408, "close")
    assert check_error_body(await line.read(int(headers["content-length"])))["code"] == "request_timeout"
    assert agent.exchanges == []
    await line.close()


async def test_a_kept_connection_is_closed_when_it_is_idle(proxy: StartProxy) -> None:
    front = await proxy(idle_timeout=0.3)
    fresh, used = await front.dial(), await front.dial()
    await used.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    _, headers = await used.read_head()
    assert len(await used.read(int(headers["content-length"]))) == int(headers["content-length"])
    assert await used.read_to_end() == b""
    assert await fresh.read_to_end() == b""


async def test_a_head_that_is_too_large_in_all_is_refused(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy(max_head=5000)).dial()
    await line.send(HEAD)
    for number in range(8):
        await line.send(b"X-%d: %s\r\n" % (number, b"x" * 700))
        await asyncio.sleep(0.01)
    status, _ = await line.read_head()
    assert status == 431
    assert check_error_body(await line.read_to_end())["code"] == "head_too_large"
    assert agent.exchanges == []


@pytest.mark.parametrize("settings", [{"max_headers": 10}, {"max_line": 100}])
async def test_headers_have_a_number_and_a_length(proxy: StartProxy, settings: dict[str, int]) -> None:
    line = await (await proxy(**settings)).dial()
    await line.send(HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 120) for number in range(12)) + b"\r\n")
    status, _ = await line.read_head()
    assert status == 400
    check_error_body(await line.read_to_end())


async def test_a_next_head_behind_an_answer_does_not_grow_either(proxy: StartProxy, agent: Agent) -> None:
    """It cannot be refused while another answer is under way; the connection ends behind that."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Well"), gate, run()[3:])
    line = await (await proxy(max_head=5000)).dial()
    await line.post(chat_body())
    await line.read_head()
    await line.send(HEAD)
    for number in range(8):
        await line.send(b"X-%d: %s\r\n" % (number, b"x" * 700))
        await asyncio.sleep(0.01)
    gate.set()
    assert check_stream(await line.read_chunks(), include_usage=False).text == "Well"
    assert await line.read_to_end() == b""
    assert len(agent.runs) == 1


async def test_one_connection_too_many_gets_503(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(max_connections=2)
    lines = [await front.dial() for _ in range(3)]
    for line in lines:
        await line.post(chat_body(stream=False))
    heads = [await line.read_head() for line in lines]
    assert [status for status, _ in heads] == [200, 200, 503]
    assert (heads[2][1]["x-should-retry"], heads[2][1]["connection"]) == ("true", "close")
    assert check_error_body(await lines[2].read_to_end())["code"] == "too_many_connections"
    await lines[0].close()
    await until_accepted(front.port)


async def until_accepted(port: int) -> None:
    async with asyncio.timeout(5):
        status = 0
        while status != 200:
            line = Line(*await asyncio.open_connection("127.0.0.1", port))
            await line.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status, _ = await line.read_head()
            await line.close()


async def test_a_client_that_reads_a_byte_a_second_is_dropped(proxy: StartProxy, agent: Agent) -> None:
    """The bytes between them: those that the agent's socket took, less those that the client has read."""
    pouring = text("x" * 4000)
    agent.send_buffer = 4096
    agent.plays(OPENING, [pouring] * 20_000)
    front = await proxy(send_timeout=2.0)
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body())
    await agent.until(lambda: agent.runs)
    reading = asyncio.create_task(read_slowly(line))
    await agent.until(lambda: agent.closed_sessions)
    assert agent.runs[0].outcome == "left"
    ahead = agent.runs[0].sent
    log.info("bytes ahead of a slow client: %d", ahead)
    assert 50_000 < ahead < SLOW_COST
    reading.cancel()
    await asyncio.wait([reading])


async def read_slowly(line: Line) -> None:
    with contextlib.suppress(ConnectionError):
        while await line.read(1):  # noqa: ASYNC110 - the clock is what this client is about
            await asyncio.sleep(1)
