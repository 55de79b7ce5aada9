"""Socket to socket: a scripted agent or the demo gateway, the real application in front of it, and a client.

The application is started as the product starts it (`server.process.serve.listening`), not by aiohttp's test server,
which has settings of its own. After every test that uses these fixtures nothing may be left: no task, no answer that is
still being read from the agent, no open session.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import aiohttp
import pytest
from agent import PATIENCE, Agent, serving
from aiohttp import web
from multidict import CIMultiDictProxy

from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.config.settings import Config, SeveralGateways
from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve_app
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.demo.state import GatewayState
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening

CHAT = "/v1/chat/completions"

SETTINGS: dict[str, Any] = {
    "port": 0,
    "connect_timeout": 2.0,
    "connect_retries": 1,
    "silence_timeout": 60.0,
    "close_timeout": 2.0,
    "body_timeout": 5.0,
    "drain_timeout": 2.0,
    "models_ttl": 0.0,
}
"""Short where a test might have to wait for it; long where it must not be the reason that something ends."""


def chat_body(text: str = "Hi", *, stream: bool = True, **fields: Any) -> bytes:
    """A chat request with one user message; `fields` replace or add."""
    body = {"model": "default", "stream": stream, "messages": [{"role": "user", "content": text}]}
    return json.dumps({**body, **fields}).encode()


@dataclass(frozen=True)
class Received:
    """A whole answer, as it came."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Line:
    """One raw connection to the proxy, for what no well-behaved client does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def post(self, body: bytes, *, path: str = CHAT, version: str = "1.1", headers: Iterable[str] = ()) -> None:
        """A request; `headers` are whole lines."""
        lines = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def read(self, count: int) -> bytes:
        """At most so many bytes; none when the proxy has closed."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(count)

    async def read_until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readuntil(mark)

    async def read_to_end(self) -> bytes:
        """Everything up to the proxy's close."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, their names in lower case."""
        head = (await self.read_until(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip("\r\n").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in pairs}

    async def read_chunks(self) -> bytes:
        """A chunked body, up to its last chunk."""
        body = b""
        while size := int(await self.read_until(b"\r\n"), 16):
            body += (await self._read_exactly(size + 2))[:-2]
        await self._read_exactly(2)
        return body

    async def _read_exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(count)

    def half_close(self) -> None:
        self._writer.write_eof()

    def reset(self) -> None:
        linger_not = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the proxy may have been first
            await self._writer.wait_closed()


@dataclass
class Proxy:
    """A proxy that listens, and a client to it."""

    app: web.Application
    config: Config
    port: int
    client: aiohttp.ClientSession
    lines: list[Line] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def chat(self, text: str = "Hi", *, stream: bool = True, **fields: Any) -> Received:
        return await self.post(chat_body(text, stream=stream, **fields))

    async def post(self, body: bytes, *, path: str = CHAT, headers: dict[str, str] | None = None) -> Received:
        return await self.request("POST", path, data=body, headers=headers)

    async def get(self, path: str) -> Received:
        return await self.request("GET", path)

    async def request(self, method: str, path: str, **how: Any) -> Received:
        async with self.client.request(method, self.base + path, **how) as response:
            return Received(response.status, response.headers, await response.read())

    async def dial(self, *, receive_buffer: int | None = None) -> Line:
        """`receive_buffer`: bytes that may lie unread on this side before the proxy's writes wait."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        self.lines.append(Line(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 2**16)))
        return self.lines[-1]

    async def hang_up(self) -> None:
        """The client is gone, with all its connections."""
        await self.client.close()
        for line in self.lines:
            await line.close()


# Nothing is left behind: after every test, whatever it uses


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> None:
    """Set up before all other fixtures of the test, so that it looks when all of them are gone."""
    is_async = inspect.iscoroutinefunction(request.function)
    request.getfixturevalue("_no_task_leaks" if is_async else "_no_descriptor_leaks")


@pytest.fixture
async def _no_task_leaks() -> AsyncIterator[None]:
    """No task goes on, and no socket is open."""
    before = descriptors()
    yield
    await no_tasks_left(besides=(), allowed=())
    for _ in range(TURNS_TO_CLOSE):
        if len(descriptors()) <= len(before):
            return
        await asyncio.sleep(0.001)  # a transport closes its socket in a later turn of the loop
    check_descriptors(before)


@pytest.fixture
def _no_descriptor_leaks() -> Iterator[None]:
    before = descriptors()
    yield
    check_descriptors(before)


TURNS_TO_CLOSE = 100
OPEN = Path("/proc/self/fd")


def descriptors() -> set[str]:
    """The numbers of what is open; of nothing where the system does not tell."""
    return set(os.listdir(OPEN)) if OPEN.exists() else set()


def check_descriptors(before: Collection[str]) -> None:
    """No more sockets than before. Files and pipes are not looked at: what is used late may open some for good."""
    if len(descriptors()) <= len(before):
        return
    gc.collect()
    left = {}
    for number in descriptors() - {*before}:
        with contextlib.suppress(OSError):  # the one with which we look
            left[number] = os.readlink(OPEN / number)
    assert not [each for each in left.values() if each.startswith("socket:")], f"left open: {left}"


class StartProxy(Protocol):
    def __call__(self, apis: Sequence[ClientApi] = ..., **settings: Any) -> Awaitable[Proxy]: ...


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """A scripted gateway; tests tell it what to play."""
    async with serving() as agent:
        yield agent


@pytest.fixture
async def proxy(agent: Agent) -> AsyncIterator[StartProxy]:
    """Starts a proxy in front of the agent, or of another `upstream`; the arguments are settings."""
    async with AsyncExitStack() as stack:
        started: list[Proxy] = []

        async def start(apis: Sequence[ClientApi] = tuple(APIS.values()), **settings: Any) -> Proxy:
            kind = SeveralGateways if "tables" in settings else Config
            config = kind(**{"upstream": agent.url, **SETTINGS, **settings})
            app = create_app(config, apis=apis)
            port = await stack.enter_async_context(listening(app, config))
            client = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=3 * PATIENCE)
                )
            )
            started.append(Proxy(app, config, port, client))
            return started[-1]

        yield start
        for each in started:
            await each.hang_up()
        await nothing_left(lambda: agent.left_behind, agent.until)
        await no_tasks_left(besides=agent.tasks)
    await no_tasks_left(besides=agent.tasks, allowed=set())


@dataclass
class Demo:
    """The demo gateway, seen from inside, and a proxy in front of it."""

    url: str
    gateway_state: GatewayState
    proxy: Proxy


Wire = Literal["0.9", "0.14"]
WIRES: tuple[Wire, ...] = ("0.9", "0.14")
"""The HTTP transports of Agentick that the demo gateway speaks."""


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    """A test that asks for it runs once for each wire; the fixtures `demo` and `front` then speak it, too."""
    return cast(Wire, request.param)


def wire_of(request: pytest.FixtureRequest) -> Wire:
    """That of the test, or the older one if it does not ask for `wire`."""
    return cast(Wire, request.getfixturevalue("wire")) if "wire" in request.fixturenames else "0.9"


@pytest.fixture
async def demo(proxy: StartProxy, request: pytest.FixtureRequest) -> AsyncIterator[Demo]:
    """The demo gateway at full speed."""
    gateway = create_gateway(GatewaySettings(pace=0, wire=wire_of(request)))
    async with serve_app(gateway) as url:
        gateway_state = gateway[STATE]
        demo = Demo(url, gateway_state, await proxy(upstream=url))
        yield demo
        await demo.proxy.hang_up()

        async def until(condition: Callable[[], object]) -> None:
            async with asyncio.timeout(PATIENCE):
                await gateway_state.wait_until(lambda _: bool(condition()))

        await nothing_left(lambda: [f"session {session.key}" for session in gateway_state.sessions], until)


async def nothing_left(left: Callable[[], list[str]], until: Callable[[Callable[[], object]], Awaitable[None]]) -> None:
    try:
        await until(lambda: not left())
    except TimeoutError:
        pytest.fail(f"left behind: {', '.join(left())}")


LASTING = frozenset({"listen to the gateway", "sweep sessions", "renew session locks", "sync the secret"})
"""Tasks that go on as long as a proxy does."""


async def no_tasks_left(besides: Collection[asyncio.Task[Any]], allowed: Collection[str] = LASTING) -> None:
    """Waits for tasks that are just ending; none may go on."""
    tasks = asyncio.all_tasks() - {*besides} - {asyncio.current_task()}
    tasks = {task for task in tasks if task.get_name() not in allowed}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=PATIENCE)
    assert not tasks, f"tasks left behind: {tasks}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many ways to fail were tried, added up over all workers."""
    kinds: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "faults":
                kinds.update(value)
    if kinds:
        each = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
        terminalreporter.write_line(f"faults: {kinds.total():,} cases ({each})")
