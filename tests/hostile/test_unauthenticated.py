"""Nothing of a body is inflated or parsed before its sender is let in, nor behind the answer."""

from __future__ import annotations

import asyncio
import gzip
import time

import pytest

from tests.support.proxy import CHAT, Line, StartProxy, chat_body
from tests.support.scripted_gateway import Agent

KEY = "sk-stranger-test"
BOMB = gzip.compress(bytes(1024 * 1024 * 1024), 9)
"""A megabyte that would become a gigabyte, which takes a second or two of processor time."""
LITTLE = 0.4
"""Seconds of processor time of this process for all that follows: the client is in it, too."""

STRANGERS = {
    "no key": ("POST", CHAT, 401),
    "health": ("GET", "/healthz", 200),
    "readiness": ("GET", "/readyz", 200),
    "no such address": ("POST", "/v1/nothing", 401),
    "no such method": ("DELETE", CHAT, 401),
}


async def send_rest(line: Line, rest: bytes) -> None:
    """Behind the answer, for as long as it is taken."""
    try:
        for start in range(0, len(rest), 64 * 1024):
            await line.send(rest[start : start + 64 * 1024])
            await asyncio.sleep(0)
    except ConnectionError:
        pass


async def send_for_ever(line: Line, data: bytes) -> None:
    for _ in range(100):
        await line.send(data)
        await asyncio.sleep(0.001)


def head(method: str, path: str, *headers: str, length: int | None = None) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", framing, *headers, "", ""]).encode()


@pytest.mark.parametrize(("method", "path", "status"), STRANGERS.values(), ids=STRANGERS)
async def test_a_strangers_body_is_not_inflated(
    proxy: StartProxy, agent: Agent, method: str, path: str, status: int
) -> None:
    front = await proxy(api_key=(KEY,))
    line = await front.dial()
    start = time.thread_time()
    await line.send(head(method, path, "Content-Encoding: gzip", length=2 * len(BOMB)) + BOMB[:1000])
    assert (await line.read_head())[0] == status
    await send_rest(line, BOMB)
    assert (await front.get("/healthz")).status == 200
    assert time.thread_time() - start < LITTLE
    await line.close()


async def test_the_body_behind_a_refusal_is_not_inflated(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(api_key=(KEY,), max_body=1024 * 1024)
    line = await front.dial()
    start = time.thread_time()
    known = f"Authorization: Bearer {KEY}"
    await line.send(head("POST", CHAT, "Content-Encoding: gzip", known) + b"%x\r\n" % len(BOMB) + BOMB[:65536])
    assert (await line.read_head())[0] == 413
    await send_rest(line, BOMB[65536:])
    assert (await front.get("/healthz")).status == 200
    assert time.thread_time() - start < LITTLE
    await line.close()


@pytest.mark.parametrize("rest", [b"1\r\nx\r\n", b"x"], ids=["tiny chunks", "bytes"])
async def test_what_lingers_is_dropped_unread_and_has_an_end(proxy: StartProxy, agent: Agent, rest: bytes) -> None:
    """Sixteen megabytes behind a 401: one is taken, and not even the framework's parser sees it."""
    front = await proxy(api_key=(KEY,), max_body=1024 * 1024)
    line = await front.dial()
    flood = rest * (16 * 1024 * 1024 // len(rest))
    start = time.thread_time()
    await line.send(head("POST", CHAT, length=None if b"\r\n" in rest else 10**9) + rest)
    assert (await line.read_head())[0] == 401
    await send_rest(line, flood)
    with pytest.raises(ConnectionError):  # it is gone before all of that was taken
        await send_for_ever(line, flood[: 64 * 1024])
    assert time.thread_time() - start < LITTLE
    await line.close()


async def test_a_body_above_the_limit_is_refused_before_it_comes(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy(max_body=1000)).dial()
    await line.send(head("POST", CHAT, length=1001))
    assert (await line.read_head())[0] == 413
    await line.close()


async def test_what_is_compressed_has_the_same_limit_as_what_is_not(proxy: StartProxy, agent: Agent) -> None:
    """Empty members without end hold nothing."""
    body = gzip.compress(chat_body()) + gzip.compress(b"") * 10_000
    received = await (await proxy(max_body=100_000)).post(body, headers={"Content-Encoding": "gzip"})
    assert received.status == 413
