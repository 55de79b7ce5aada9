"""Calls between processes over a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.shared_storage import process_calls, redis_client
from oaicompat_proxy.server.shared_storage.process_calls import ProcessCalls
from tests.support.proxy_harness import RedisServer
from tests.support.scripted_gateway import PATIENCE

pytest_plugins = ["tests.support.proxy_fixtures"]


async def reverse(asked: bytes) -> bytes:
    if asked == b"slow":
        await asyncio.sleep(60)
    if asked == b"fault":
        raise ValueError(asked)
    return asked[::-1]


@pytest.fixture
async def pair(
    own_redis: RedisServer, patience_with_redis: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[ProcessCalls, ...]]:
    """Two processes, as far as calls go."""
    monkeypatch.setattr(process_calls, "PAUSE", 0.05)
    async with redis_client.connect(own_redis.url) as first, redis_client.connect(own_redis.url) as second:
        both = ProcessCalls(first, "a", reverse), ProcessCalls(second, "b", reverse)
        both[1].listen()
        yield both
        for each in both:
            await each.close()


async def test_each_call_gets_its_own_reply(pair: tuple[ProcessCalls, ...]) -> None:
    a, b = pair
    asked = [b"%d\n\n" % number for number in range(50)]
    assert await asyncio.gather(*(a.call("b", each, within=5) for each in asked)) == [each[::-1] for each in asked]
    assert await b.call("a", b"back", within=5) == b"kcab"
    assert await a.call("a", b"own", within=5) == b"nwo"


@pytest.mark.parametrize(("process", "asked"), [("nobody", b"hi"), ("b", b"slow"), ("b", b"fault")])
async def test_without_a_reply_there_is_none(pair: tuple[ProcessCalls, ...], process: str, asked: bytes) -> None:
    a, _ = pair
    assert await a.call(process, asked, within=0.2) is None
    assert await a.call("b", b"next", within=5) == b"txen"


@pytest.mark.parametrize(
    "entry", [b"", b"\xff\xfe", b"[]\n", b"null", b"{}", b'{"reply": []}', b'{"from": 1, "number": 1}']
)
async def test_foreign_entries_are_skipped(
    pair: tuple[ProcessCalls, ...], own_redis: RedisServer, entry: bytes
) -> None:
    a, _ = pair
    async with redis_client.connect(own_redis.url) as redis:
        await redis.rpush("oaicompat:calls:b", entry)  # type: ignore[misc]
    assert await a.call("b", b"next", within=5) == b"txen"


async def test_a_process_that_stops_sends_the_replies_that_are_on_their_way(own_redis: RedisServer) -> None:
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def reply_late(data: bytes) -> bytes:
        asked.set()
        await goes_on.wait()
        return data

    async with redis_client.connect(own_redis.url) as redis:
        a, b = ProcessCalls(redis, "a", reverse), ProcessCalls(redis, "b", reply_late)
        b.listen()
        call = asyncio.create_task(a.call("b", b"the end", within=5))
        await asked.wait()
        closing = asyncio.create_task(b.close())
        await asyncio.sleep(0)
        goes_on.set()
        assert await call == b"the end"
        await closing
        await a.close()


async def test_what_nobody_reads_goes_away(pair: tuple[ProcessCalls, ...], own_redis: RedisServer) -> None:
    a, _ = pair
    calling = asyncio.create_task(a.call("nobody", b"hi", within=60))
    async with asyncio.timeout(PATIENCE):
        while not own_redis.length("oaicompat:calls:nobody"):  # noqa: ASYNC110 -- Redis sends no event
            await asyncio.sleep(0.01)
    assert 0 < own_redis.ttl("oaicompat:calls:nobody") <= process_calls.ENTRY_TTL
    calling.cancel()


@pytest.mark.slow
async def test_the_list_of_a_process_is_bounded(
    pair: tuple[ProcessCalls, ...], own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_calls, "MAX_ENTRIES", 3)
    a, _ = pair
    await asyncio.gather(*(a.call("nobody", b"%d" % number, within=2) for number in range(6)))
    assert own_redis.length("oaicompat:calls:nobody") == 3


async def test_redis_loses_its_data_is_gone_and_comes_back(
    pair: tuple[ProcessCalls, ...], own_redis: RedisServer
) -> None:
    a, _ = pair
    own_redis.flush()
    assert await a.call("b", b"hi", within=5) == b"ih"
    own_redis.stop()
    with pytest.raises(StoreUnavailable):
        await a.call("b", b"hi", within=5)
    own_redis.start()
    async with asyncio.timeout(10):
        while await a.call("b", b"hi", within=0.5) != b"ih":
            pass
