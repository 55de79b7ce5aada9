"""Refused requests leave no garbage that waits for the collector, which runs rarely: memory would grow meanwhile."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.proxy import CHAT, Proxy, StartProxy
from tests.support.scripted_gateway import Agent

LARGE = 200_000
"""Bytes of each request; a read of the server has up to 256,000."""
REQUESTS = 20
LITTLE = 1_000_000
"""Bytes that may stay after all requests, which are caches. Each request that stays leaves LARGE."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def send_malformed(front: Proxy) -> None:
    """Its sender goes on behind the error, for as long as that is taken."""
    line = await front.dial()
    try:
        for _ in range(10):
            await line.send(bytes(LARGE // 10))
    except ConnectionError:
        pass
    await line.close()


def post(path: str, body: bytes, status: int, **headers: str) -> Callable[[Proxy], Awaitable[None]]:
    async def send(front: Proxy) -> None:
        assert (await front.post(body, path=path, headers=headers)).status == status

    return send


CUT = b'{"model":"owl","x":"' + b"x" * LARGE
REFUSED = {
    "malformed": send_malformed,
    "no such address": post("/v1/nothing", CUT, 404),
    **{f"cut JSON at {path}": post(path, CUT, 400) for path in (CHAT, "/v1/responses", "/v1/messages")},
    **{
        f"broken gzip at {path}": post(path, CUT, 400, **{"Content-Encoding": "gzip"})
        for path in (CHAT, "/v1/responses", "/v1/messages")
    },
    "cut JSON with a key": post(CHAT, CUT, 400, **{"Idempotency-Key": "k"}),
}


@pytest.mark.parametrize("send", REFUSED.values(), ids=REFUSED)
async def test_refused_requests_leave_no_garbage(
    proxy: StartProxy, agent: Agent, send: Callable[[Proxy], Awaitable[None]]
) -> None:
    front = await proxy()
    await send(front)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(REQUESTS):
        await send(front)
    for _ in range(REQUESTS):  # meanwhile the server notices that connections are closed
        assert (await front.get("/healthz")).status == 200
    assert tracemalloc.get_traced_memory()[0] - before < LITTLE
