"""How long one request may hold everybody up: the processor time of the loop's thread between two of its turns."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import selectors
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.garbage import no_automatic_collections
from oaicompat_proxy.server.process.serve import listening
from tests.hostile.bodies import COUNTS, MEBIBYTE, MEDIA, TEXTS, VALUES, user
from tests.support.paths import GOLDEN

log = logging.getLogger(__name__)

ANSWERS = {"agentick": "text.native.sse", "ag-ui": "ag_ui_interleaved_messages.native.sse"}

FOR_A_MEGABYTE, AT_MOST = 0.050, 0.250
"""Seconds that one turn of the loop may take: for each megabyte that was begun, and in all.

These and the next are for a machine that does `FIXED_WORK` in its time, and nothing else. A slower one may take
longer by as much.
"""
REFUSED_AT_MOST = 0.500
"""For a body that is larger than any that is accepted. Only one of a single kind comes near it: half characters."""
FIXED_WORK = 0.024
"""Seconds of processor time: `fixed_work` on two cores of a server of 2023."""
WITH_EMPTY_CACHES = 2.0
"""Times as long that a turn may take beside other tests, which use the same caches: 1.5 times was measured."""
OTHERS_WAIT = 5.0
"""Seconds of the clock: the test's own client and gateway share the interpreter with the proxy."""
TRIES = 3
PATIENCE = 60.0

LIMITS = Config(upstream="http://127.0.0.1:1")


class Turns(selectors.DefaultSelector):
    """Called once in every turn of its loop; measures the work since the turn before."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._began = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.longest = max(self.longest, time.thread_time() - self._began)
        ready = super().select(timeout)
        self._began = time.thread_time()
        return ready


class ProxyThread:
    """A proxy with a thread and a loop of its own, so that only its work is measured."""

    def __init__(self, config: Config) -> None:
        self.turns = Turns()
        self._config = config
        self._listens = threading.Event()
        self._loop = asyncio.SelectorEventLoop(self.turns)
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    async def __aenter__(self) -> ProxyThread:
        self._thread.start()
        assert await asyncio.to_thread(self._listens.wait, PATIENCE)
        return self

    async def __aexit__(self, *_: Any) -> None:
        """The gateway, which is in the caller's loop, still answers."""
        self._loop.call_soon_threadsafe(self._end.set)
        await asyncio.to_thread(self._thread.join, PATIENCE)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with listening(create_app(self._config), self._config) as self.port:
            self._listens.set()
            await self._end.wait()


@pytest.fixture(scope="module", autouse=True)
def calm() -> Iterator[None]:
    """The collector as the server has it: what the tests themselves have made is not looked at."""
    gc.collect()
    with no_automatic_collections():
        yield


@contextlib.asynccontextmanager
async def gateway(dialect: str) -> AsyncIterator[str]:
    """Accepts every request, and answers with a short run."""
    run = (GOLDEN / ANSWERS[dialect]).read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            lines = (await reader.readuntil(b"\r\n\r\n")).lower()
            left = int(lines.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while left > 0:
                left -= len(await reader.read(MEBIBYTE)) or left
            writer.write(head + run)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:  # a connection that has just been accepted
            await asyncio.wait(left)


async def send(port: int, body: bytes) -> int:
    """The status of the answer, which is read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        return int((await reader.read()).split(b" ")[1])


async def look(port: int) -> None:
    """Another client's short request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


async def look_until(port: int, over: asyncio.Event, waits: list[float]) -> None:
    while not over.is_set():
        began = time.monotonic()
        await look(port)
        waits.append(time.monotonic() - began)


async def longest_turn(dialect: str, body: bytes) -> tuple[int, float, float]:
    """The status, the longest turn of the proxy's loop and the longest time that the other client waited."""
    async with asyncio.timeout(PATIENCE), gateway(dialect) as address:
        config = Config(upstream=address, dialect=dialect, port=0, close_timeout=0.5, drain_timeout=0.5)
        async with ProxyThread(config) as proxy:
            await look(proxy.port)
            proxy.turns.longest = 0.0
            over, waits = asyncio.Event(), []
            looking = asyncio.create_task(look_until(proxy.port, over, waits))
            try:
                status = await send(proxy.port, body)
            finally:
                over.set()
                await looking
            return status, proxy.turns.longest, max(waits)


def fixed_work() -> None:
    """Texts are taken apart and kept, as where a body is read."""
    for _ in range(20):
        [text.partition(":") for text in ",".join(["data:a"] * 5000).split(",")]


def slowness() -> float:
    """At least 1: how many times longer than on the machine of the bounds this one takes at present."""
    times = []
    for _ in range(TRIES):
        start = time.thread_time()
        fixed_work()
        times.append(time.thread_time() - start)
    return max(1.0, min(times) / FIXED_WORK)


def bound(body: bytes) -> float:
    most = AT_MOST if len(body) < LIMITS.max_media * 1.5 else REFUSED_AT_MOST
    return WITH_EMPTY_CACHES * min(most, FOR_A_MEGABYTE * math.ceil(len(body) / MEBIBYTE))


def measured(dialect: str, body: bytes) -> tuple[int, float, float]:
    """The best of some tries: what else runs on the machine slows the work down.

    The longest turn is given as the machine of the bounds would take it.
    """
    tries = []
    for _ in range(TRIES):
        slow = slowness()
        status, turn, wait = asyncio.run(longest_turn(dialect, body))
        tries.append((status, turn / slow, wait))
        if turn / slow < bound(body):
            break
    return min(tries, key=lambda each: each[1])


@pytest.fixture(autouse=True)
def figures(caplog: pytest.LogCaptureFixture) -> None:
    """Shown by `-rP`."""
    caplog.set_level(logging.INFO, logger=__name__)


def check(dialect: str, body: bytes, *statuses: int) -> None:
    status, turn, wait = measured(dialect, body)
    log.info("%.1f MiB, %d: %.0f ms, health %.0f ms", len(body) / MEBIBYTE, status, turn * 1000, wait * 1000)
    assert status in statuses
    assert turn < bound(body)
    assert wait < OTHERS_WAIT


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_as_many_values_as_there_may_be(dialect: str, make: Callable[[int], bytes]) -> None:
    check(dialect, make(LIMITS.max_values - 100), 200)


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("make", COUNTS.values(), ids=COUNTS)
def test_as_many_messages_parts_and_tools_as_there_may_be(dialect: str, make: Callable[[int, int, int], bytes]) -> None:
    check(dialect, make(LIMITS.max_messages, LIMITS.max_parts, LIMITS.max_tools), 200)


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_as_much_text_as_there_may_be(dialect: str, make: Callable[[int], bytes]) -> None:
    check(dialect, make(LIMITS.max_text - 1000), 200)


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_a_megabyte_of_text(make: Callable[[int], bytes]) -> None:
    check("agentick", make(MEBIBYTE - 1000), 200)


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("make", MEDIA.values(), ids=MEDIA)
def test_as_many_pictures_as_there_may_be(dialect: str, make: Callable[[int], bytes]) -> None:
    check(dialect, make(LIMITS.max_media - 1000), 200)


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_a_whole_body_of_values_is_refused(make: Callable[[int], bytes]) -> None:
    body = make(LIMITS.max_body // 3)
    check("agentick", body[: LIMITS.max_body - 1], 400)


@pytest.mark.parametrize("make", [*TEXTS.values(), *MEDIA.values()], ids=[*TEXTS, *MEDIA])
def test_a_whole_body_of_text_or_pictures(make: Callable[[int], bytes]) -> None:
    """Refused, unless white space makes a picture smaller than it looks."""
    check("agentick", make(LIMITS.max_body - 1000), 400, 200)


def test_a_whole_body_of_half_characters_is_refused() -> None:
    check("agentick", user(b"\\ud800 " * (LIMITS.max_body // 7 - 100)), 400)
