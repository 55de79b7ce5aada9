"""Requests per minute: in memory, in a real Redis that workers share, and without it when it is gone."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.server.access import rate_limiter as rates
from oaicompat_proxy.server.access.rate_limiter import RateLimiter
from oaicompat_proxy.server.shared_storage import redis_client
from oaicompat_proxy.server.shared_storage.redis_client import connect
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.proxy_harness import RedisServer
from tests.support.scripted_gateway import Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

START = 1_900_000_000.0
ADA = Caller("ada", "", requests_per_minute=6)
BOB = Caller("bob", "", requests_per_minute=6)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The wall clock of the counting library, and ours; at the start of a minute."""
    clock = Clock()
    for module in ("limits.aio.storage.memory", "limits.aio.strategies", rates.__name__):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time=clock.time))
    return clock


async def admitted(rates: RateLimiter, caller: Caller, times: int) -> int:
    return sum([(await rates.count(caller)).admitted for _ in range(times)])


async def test_a_limit_is_a_limit_of_each_key(clock: Clock) -> None:
    limiter = RateLimiter(None)
    assert await admitted(limiter, ADA, 10) == 6
    assert await admitted(limiter, BOB, 10) == 6


async def test_what_is_left_is_shown(clock: Clock) -> None:
    limiter = RateLimiter(None)
    first, second = await limiter.count(ADA), await limiter.count(ADA)
    assert (first.limit, first.remaining, second.remaining) == (6, 5, 4)
    assert 0 < second.reset <= 60
    await admitted(limiter, ADA, 4)
    refused = await limiter.count(ADA)
    assert (refused.admitted, refused.remaining) == (False, 0)


@pytest.mark.parametrize("wait", [0.0, 17.3, 45.0])
async def test_a_client_that_waits_for_retry_after_is_served(clock: Clock, wait: float) -> None:
    limiter = RateLimiter(None)
    await admitted(limiter, ADA, 3)
    clock.now += wait
    await admitted(limiter, ADA, 3)
    for _ in range(20):
        while (refused := await limiter.count(ADA)).admitted:
            pass
        assert 0 < refused.reset <= 60
        clock.now += refused.reset + 0.001
        assert (await limiter.count(ADA)).admitted


async def test_nobody_gets_twice_the_limit_around_the_turn_of_a_minute(clock: Clock) -> None:
    limiter = RateLimiter(None)
    clock.now += 59
    assert await admitted(limiter, ADA, 10) == 6
    clock.now += 2
    assert await admitted(limiter, ADA, 10) <= 1


async def test_after_two_minutes_all_is_forgotten(clock: Clock) -> None:
    limiter = RateLimiter(None)
    await admitted(limiter, ADA, 10)
    clock.now += 121
    assert (await limiter.count(ADA)).remaining == 5


async def test_another_limit_is_another_count(clock: Clock) -> None:
    """When the keys file raises it, the key may call at once."""
    limiter = RateLimiter(None)
    await admitted(limiter, ADA, 10)
    assert (await limiter.count(Caller("ada", "", requests_per_minute=7))).admitted


# Redis


async def test_processes_that_share_a_redis_share_the_count(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as one, connect(redis_server.url) as other:
        houses = [RateLimiter(one), RateLimiter(other)]
        counts = [await houses[n % 2].count(ADA) for n in range(10)]
        assert [each.admitted for each in counts] == [True] * 6 + [False] * 4
        assert [each.remaining for each in counts] == [5, 4, 3, 2, 1, 0, 0, 0, 0, 0]
        assert all(0 < each.reset <= 60 for each in counts)
        assert (await houses[0].count(BOB)).admitted


async def test_what_redis_holds_is_a_name_and_ends(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as redis:
        await RateLimiter(redis).count(ADA)
        keys = [key.decode() for key in await redis.keys()]
        assert keys
        for key in keys:
            assert key.startswith("oaicompat:rate:")
            assert 0 < await redis.ttl(key) <= 120


def stopped(server: RedisServer) -> None:
    server.stop()


def frozen(server: RedisServer) -> None:
    server.signal(signal.SIGSTOP)


@pytest.mark.parametrize("gone", [stopped, frozen])
async def test_without_redis_each_process_waits_for_it_once(
    own_redis: RedisServer,
    gone: Callable[[RedisServer], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.2)
    async with connect(own_redis.url) as redis:
        limiter = RateLimiter(redis)
        await limiter.count(ADA)
        gone(own_redis)
        async with asyncio.timeout(2):
            assert await admitted(limiter, ADA, 100) == 5
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.name for record in warnings] == [rates.__name__]
        assert warnings[0].exc_info is None


async def test_when_redis_is_back_it_counts_again(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REDIS_RETRY_AFTER", 0.0)
    async with connect(own_redis.url) as redis, connect(own_redis.url) as other:
        limiter = RateLimiter(redis)
        own_redis.stop()
        assert (await limiter.count(ADA)).remaining == 5
        own_redis.start()
        assert await admitted(limiter, ADA, 6) == 6
        assert not (await RateLimiter(other).count(ADA)).admitted


# Socket to socket

LIMIT = {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}


def limit_headers(received: Received) -> dict[str, str]:
    return {name: received.headers[name] for name in LIMIT if name in received.headers}


async def ask(front: Proxy, key: str, body: bytes | None = None) -> Received:
    return await front.post(body or chat_body(), headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("stream", [True, False])
async def test_each_answer_shows_what_is_left(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ada",), requests_per_minute=60)
    for left in ("59", "58"):
        received = await ask(front, "ada", chat_body(stream=stream))
        assert received.status == 200
        assert limit_headers(received)["x-ratelimit-limit-requests"] == "60"
        assert limit_headers(received)["x-ratelimit-remaining-requests"] == left
        assert limit_headers(received)["x-ratelimit-reset-requests"].endswith("s")


async def test_without_a_limit_no_headers_are_sent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    assert limit_headers(await (await proxy()).chat()) == {}


async def test_one_too_many_is_a_429_in_openais_words_and_nothing_is_run(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ada", "bob"), requests_per_minute=1)
    assert (await ask(front, "ada")).status == 200
    received = await ask(front, "ada")
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert limit_headers(received)["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(received.headers["retry-after"]) <= 60
    assert 0 < int(received.headers["retry-after-ms"]) <= 60_000
    assert received.headers["x-should-retry"] == "true"
    assert len(agent.runs) == 1
    assert (await ask(front, "bob")).status == 200


async def test_requests_that_fail_count_and_questions_do_not(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(api_key=("ada",), requests_per_minute=2, model={"demo": ""})
    for _ in range(3):
        assert (await front.request("GET", "/v1/models", headers={"Authorization": "Bearer ada"})).status == 200
    statuses = [(await ask(front, "ada", b"{")).status for _ in range(3)]
    assert statuses == [400, 400, 429]


async def test_requests_without_a_key_count_for_nobody(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ada",), requests_per_minute=1)
    for key in ("wrong", "wrong", "wrong"):
        received = await ask(front, key)
        assert (received.status, limit_headers(received)) == (401, {})
    assert (await ask(front, "ada")).status == 200


async def test_without_keys_the_limit_is_for_everybody_together(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(requests_per_minute=2)
    assert [(await ask(front, key)).status for key in ("a", "b", "c")] == [200, 200, 429]


async def test_two_proxies_share_a_limit_through_redis(
    proxy: StartProxy, agent: Agent, redis_server: RedisServer
) -> None:
    agent.plays(run("Hello"))
    how: dict[str, Any] = {"api_key": ("ada",), "requests_per_minute": 3, "redis": redis_server.url}
    pair = [await proxy(**how), await proxy(**how)]
    assert [(await ask(pair[n % 2], "ada")).status for n in range(5)] == [200, 200, 200, 429, 429]
    assert len(agent.runs) == 3
