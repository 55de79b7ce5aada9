"""A silent Redis: one request waits for it, and the others do not."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from oaicompat_proxy.server.shared_storage import bounded_redis
from oaicompat_proxy.server.shared_storage.bounded_redis import PROBES
from oaicompat_proxy.server.shared_storage.redis_client import COMMAND_TIMEOUT, connect
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]

NONE = 0.1
"""Seconds that are no wait for anything, on a busy machine."""


async def test_many_commands_wait_once(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        await redis.ping()
        own_redis.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer within 0\.4 seconds"):
            await redis.ping()
        for _ in range(9):
            with pytest.raises(TimeoutError, match="failing fast"):
                await redis.ping()
        assert COMMAND_TIMEOUT <= time.monotonic() - began < COMMAND_TIMEOUT + NONE


async def test_it_is_asked_again_after_a_while(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_redis, "FAIL_FAST_SECONDS", 0.5)
    async with connect(own_redis.url) as redis:
        own_redis.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await redis.ping()
        own_redis.signal(signal.SIGCONT)
        with pytest.raises(TimeoutError):
            await redis.ping()
        await asyncio.sleep(0.5)
        assert await redis.ping()


async def test_a_probe_that_is_answered_ends_the_pause(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        own_redis.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await redis.ping()
        own_redis.signal(signal.SIGCONT)

        async def probe() -> None:
            PROBES.set(True)
            await redis.ping()

        await asyncio.create_task(probe())
        assert await redis.ping()


async def test_a_redis_that_is_not_there_is_asked_again_at_once(own_redis: RedisServer) -> None:
    """It costs nothing to be refused."""
    async with connect(own_redis.url) as redis:
        own_redis.stop()
        with pytest.raises(Exception, match="connecting"):
            await redis.ping()
        own_redis.start()
        assert await redis.ping()


async def test_what_is_asked_over_the_pool_is_bounded_too(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with redis.in_time():
                await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            await redis.ping()
        assert time.monotonic() - began < COMMAND_TIMEOUT + NONE


async def test_a_command_in_time_leaves_no_timer_behind() -> None:
    loop, failures = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with connect("redis://127.0.0.1:1") as redis:
        redis.command_timeout = 0.0
        async with redis.in_time():
            pass
        for _ in range(3):
            await asyncio.sleep(0)
    assert failures == []


async def test_a_reply_that_is_there_counts_although_the_process_stood_still(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        await redis.ping()
        own_redis.signal(signal.SIGSTOP)
        asked = asyncio.create_task(redis.ping())
        await asyncio.sleep(0.01)
        own_redis.signal(signal.SIGCONT)
        time.sleep(2 * COMMAND_TIMEOUT)  # noqa: ASYNC251 -- it is the process that stands still
        assert await asked
