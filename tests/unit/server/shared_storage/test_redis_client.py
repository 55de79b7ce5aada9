"""The way to Redis: never waited for long, its errors as ours."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from oaicompat_proxy.config.settings import ConfigError
from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.shared_storage import redis_client
from oaicompat_proxy.server.shared_storage.redis_client import connect, mapped_errors
from tests.support.proxy_harness import RedisServer

pytest_plugins = ["tests.support.proxy_fixtures"]


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_an_address_that_cannot_be_is_said_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="--redis"):
        connect(url)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "oaicompat_proxy.server.shared_storage.bounded_redis", raising=False)
    with pytest.raises(ConfigError, match="pip install"):
        connect("redis://127.0.0.1")


async def test_an_answer_comes(redis_server: RedisServer) -> None:
    async with connect(redis_server.url) as redis:
        with mapped_errors():
            assert await redis.ping()


async def test_a_redis_that_is_not_there_is_our_error(own_redis: RedisServer) -> None:
    own_redis.stop()
    async with connect(own_redis.url) as redis:
        with pytest.raises(StoreUnavailable), mapped_errors():
            await redis.ping()


async def test_a_redis_that_does_not_answer_is_soon_our_error(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.1)
    async with connect(own_redis.url) as redis:
        await redis.ping()
        own_redis.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable), mapped_errors():
            await redis.ping()
        assert time.monotonic() - began < 2


async def test_a_connection_that_died_meanwhile_is_made_again(own_redis: RedisServer) -> None:
    async with connect(own_redis.url) as redis:
        await redis.ping()
        own_redis.stop()
        own_redis.start()
        with mapped_errors():
            assert await redis.ping()


def test_other_errors_are_not_ours() -> None:
    with pytest.raises(KeyError), mapped_errors():
        raise KeyError
