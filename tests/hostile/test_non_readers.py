"""A client that does not read its response is dropped within `--send-timeout`, and never delays a shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.processes import Child, port_of, proxy_before, stopping
from tests.support.proxy import CHAT, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, answer, run, text

LIMIT = 1.0
SLACK = 8.0
"""Seconds more, on a machine that does much else."""

KEY = "Authorization: Bearer k\r\n"
KEPT = KEY + "Idempotency-Key: 1\r\n"
LARGE = text("x" * 100_000)


def request(path: str, *, method: str = "GET", headers: str = KEY, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


FLOODS = {
    "healthz": request("/healthz"),
    "readyz": request("/readyz"),
    "metrics": request("/metrics"),
    "models": request("/v1/models"),
    "401": request("/v1/models", headers=""),
    "401 for a run": request(CHAT, method="POST", headers="", body=b"{}"),
    "404": request("/v1/nothing"),
    "405": request(CHAT),
    "400": request(CHAT, method="POST", body=b"{"),
    "preflight": request(CHAT, method="OPTIONS", headers="Access-Control-Request-Method: POST\r\n"),
    "no HTTP": b"\x00\r\n\r\n" * 100,
}
"""Requests that are sent again and again, while no answer is read."""

LARGE_ANSWERS = {
    "a large list": request("/v1/models"),
    "a large list, then close": request("/v1/models", headers=KEY + "Connection: close\r\n"),
    "a stream": request(CHAT, method="POST", body=chat_body()),
    "a whole answer": request(CHAT, method="POST", body=chat_body(stream=False)),
    "an answer to be kept": request(CHAT, method="POST", headers=KEPT, body=chat_body()),
    "a whole answer to be kept": request(CHAT, method="POST", headers=KEPT, body=chat_body(stream=False)),
}


@contextlib.contextmanager
def mute(port: int) -> Iterator[socket.socket]:
    """A client that will not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        yield client


async def send_until_dropped(client: socket.socket, data: bytes) -> None:
    """Again and again."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while True:
            await loop.sock_sendall(client, data)


async def until_dropped(client: socket.socket) -> float:
    """Seconds until the connection is reset or closed."""
    poll = select.poll()
    poll.register(client, 0)
    began = time.monotonic()
    assert await asyncio.to_thread(poll.poll, (LIMIT + SLACK) * 1000), "it is still there"
    return time.monotonic() - began


@pytest.fixture
def many_apps(agent: Agent) -> Agent:
    agent.replies("/invoke", answer({"apps": [{"id": f"app-{number}"} for number in range(30_000)]}))
    return agent


async def start(proxy: StartProxy) -> Proxy:
    return await proxy(send_timeout=LIMIT, api_key=("k",), models_ttl=100.0, session_drain=1.0)


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_whose_answers_nobody_reads(proxy: StartProxy, agent: Agent, flood: str) -> None:
    front = await start(proxy)
    with mute(front.port) as client:
        sending = asyncio.create_task(send_until_dropped(client, FLOODS[flood] * 20))
        async with asyncio.timeout(60):
            await sending
    assert (await front.get("/healthz")).status == 200


@pytest.mark.parametrize("asked", LARGE_ANSWERS)
async def test_a_large_answer_that_nobody_reads(proxy: StartProxy, many_apps: Agent, asked: str) -> None:
    many_apps.plays(OPENING, *[LARGE] * 100, *run(""))
    front = await start(proxy)
    with mute(front.port) as client:
        await asyncio.get_running_loop().sock_sendall(client, LARGE_ANSWERS[asked])
        taken = await until_dropped(client)
    assert taken > LIMIT * 0.7


async def test_a_slow_reader_is_not_dropped(proxy: StartProxy, many_apps: Agent) -> None:
    """It takes some of a large answer all the time, but needs longer for all of it than the limit."""
    front = await start(proxy)
    line = await front.dial(receive_buffer=65536)
    await line.send(request("/v1/models", headers=KEY + "Connection: close\r\n"))
    _, headers = await line.read_head()
    left = int(headers["content-length"])
    began = time.monotonic()
    while left:
        left -= len(await line.read(12_500))
        await asyncio.sleep(0.02)
    assert time.monotonic() - began > LIMIT


async def test_clients_that_do_not_read_share_a_stored_answer(agent: Agent) -> None:
    """Each of them costs no run, so no limit of runs bounds how often the answer could be copied."""
    agent.plays(OPENING, *[LARGE] * 30, *run(""))
    clients, asked = 40, LARGE_ANSWERS["a whole answer to be kept"]
    async with proxy_before(agent.url) as (child, base):
        with contextlib.ExitStack() as open_clients:
            sizes = []
            for _ in range(clients):
                client = open_clients.enter_context(mute(port_of(base)))
                await asyncio.get_running_loop().sock_sendall(client, asked)
                assert await asyncio.to_thread(select.select, [client], [], [], 30) == ([client], [], [])
                sizes.append(child.resident())
            assert sizes[-1] - sizes[0] < clients * len(LARGE) * 30 / 4
    assert len(agent.runs) == 1


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_stopping_does_not_wait_for_who_does_not_read(flags: tuple[str, ...]) -> None:
    """The drain timeout and the send timeout are longer."""
    command = (sys.executable, "-m", "oaicompat_proxy", "--upstream", "http://127.0.0.1:9", "--port", "0", *flags)
    limits = ("--drain-timeout", "60", "--send-timeout", "600", "--close-timeout", "1")
    with stopping(Child(*command, *limits)) as child:
        port = int(child.wait_for(r"listens on +http://127\.0\.0\.1:(\d+)")[1])
        with mute(port) as client:
            client.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while True:
                    client.sendall(FLOODS["404"] * 20)
            began = time.monotonic()
            child.signal(signal.SIGTERM)
            child.status(within=30)
            assert time.monotonic() - began < 20
