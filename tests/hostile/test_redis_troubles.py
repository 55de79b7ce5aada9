"""Redis restarted, flushed, or standing still: never two runs at once in a session, and no request waits for it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve_app
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import check_error_body
from tests.support.proxy_harness import Front, RedisServer
from tests.support.workers import running_worker

pytest_plugins = ["tests.support.proxy_fixtures"]

StartWorkers = Callable[..., Awaitable[list[Front]]]

STANDS_STILL = 34.0
WAIT_FOR_REDIS = 0.5
"""Seconds that a request may wait for a silent Redis."""
BUSY = 0.5
"""Seconds more, on a machine that does much else."""


@pytest.fixture
async def workers(own_redis: RedisServer) -> AsyncIterator[StartWorkers]:
    """Starts two proxies, each a process, in front of one gateway; the arguments are their flags."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str) -> list[Front]:
            app = create_gateway(GatewaySettings(pace=0))
            url = await stack.enter_async_context(serve_app(app))
            flags = ("--upstream", url, "--redis", own_redis.url, "--port", "0", *flags)
            return [await stack.enter_async_context(running_worker(flags, url, app[STATE])) for _ in "AB"]

        yield start


def flushed(server: RedisServer) -> None:
    server.flush()


def restarted(server: RedisServer) -> None:
    server.stop()
    server.start()


@pytest.mark.parametrize("lose", [flushed, restarted])
async def test_a_redis_that_lost_its_data_lets_no_second_run_in(
    workers: StartWorkers, own_redis: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    a, b = await workers("--session-wait", "6")
    line = await a.line("[[scenario:silent]]", name="harbour")
    await a.until(lambda: a.running)
    lose(own_redis)
    asked = await asyncio.gather(*(there.post("Hi", name="harbour") for there in (b, a, b)))
    assert {check_error_body(each.body)["code"] for each in asked} == {"session_busy"}
    assert (len(a.runs), a.running) == (1, 1), "and the first goes on"
    await a.close_all_sessions()
    await line.read_head()
    assert (await b.ask("Hi", name="harbour")).finish_reason == "stop"


async def test_nor_one_that_stood_still(workers: StartWorkers, own_redis: RedisServer) -> None:
    a, b = await workers("--session-wait", "3")
    line = await a.line("[[scenario:silent]]", name="harbour")
    await a.until(lambda: a.running)
    own_redis.signal(signal.SIGSTOP)
    until = time.monotonic() + STANDS_STILL
    while time.monotonic() < until:
        assert await b.refused("Hi", name="harbour") == (503, "sessions_unavailable")
        await asyncio.sleep(1)
    own_redis.signal(signal.SIGCONT)
    async with asyncio.timeout(20):  # at first it is still left alone
        while (refusal := await b.refused("Hi", name="harbour")) == (503, "sessions_unavailable"):
            await b.proxy.get("/healthz")
    assert refusal == (409, "session_busy")
    assert (len(a.runs), a.running) == (1, 1)
    await a.close_all_sessions()
    await line.read_head()


async def test_a_silent_redis_costs_a_request_half_a_second_once(workers: StartWorkers, own_redis: RedisServer) -> None:
    flags = ("--sessions", "recognise", "--requests-per-minute", "1000", "--session-wait", "5")
    a, _ = await workers(*flags)
    await a.ask("Hi")
    own_redis.signal(signal.SIGSTOP)
    for name in ("", "harbour", "harbour"):
        began = time.monotonic()
        await a.post("Hi", name=name)
        taken = time.monotonic() - began
        assert taken < WAIT_FOR_REDIS + BUSY
    began = time.monotonic()
    for _ in range(5):
        await a.post("Hi", name="harbour")
    assert time.monotonic() - began < WAIT_FOR_REDIS + BUSY, "it is left alone"
    own_redis.signal(signal.SIGCONT)
    async with asyncio.timeout(5):
        while (await a.post("Hi", name="harbour")).status != 200:
            await a.proxy.get("/healthz")
    await a.until(lambda: not a.running)
