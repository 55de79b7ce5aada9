from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import StreamReader

from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import CHAT, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

MEGABYTE = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    """Without zlib's own frame, as some clients send it."""
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(data) + squeezer.flush()


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]
)
async def test_a_compressed_body_is_understood(
    proxy: StartProxy, agent: Agent, encoding: str, compress: type[bytes]
) -> None:
    agent.plays(run("Hello"))
    body = compress(chat_body("a question " * 1000))
    received = await (await proxy()).post(body, headers={"Content-Encoding": encoding})
    assert check_stream(received.body, include_usage=False).text == "Hello"
    assert agent.runs[0].prompt == "a question " * 1000


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(chat_body())[:40], gzip.compress(chat_body())[:5]], ids=len)
async def test_a_body_that_breaks_its_compression_is_refused(proxy: StartProxy, agent: Agent, body: bytes) -> None:
    received = await (await proxy()).post(body, headers={"Content-Encoding": "gzip"})
    assert received.status == 400
    check_error_body(received.body)
    assert agent.exchanges == []


async def test_the_limit_counts_what_a_body_really_is(proxy: StartProxy, agent: Agent) -> None:
    """A few kilobytes that would become megabytes are refused long before they have."""
    bomb = gzip.compress(chat_body("x" * 20 * MEGABYTE))
    assert len(bomb) < 100_000
    received = await (await proxy(max_body=MEGABYTE)).post(bomb, headers={"Content-Encoding": "gzip"})
    assert received.status == 413
    check_error_body(received.body)
    assert agent.exchanges == []


async def test_a_body_may_come_in_chunks(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))

    async def pieces() -> AsyncIterator[bytes]:
        for byte in chat_body():
            yield bytes([byte])

    received = await (await proxy()).request("POST", CHAT, data=pieces())
    assert check_stream(received.body, include_usage=False).text == "Hello"


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": lambda body: gzip.compress(body, 0),
}


@pytest.mark.parametrize("encoding", CODINGS)
async def test_tiny_chunks_that_come_at_once_are_parsed_in_many_turns(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """One read of a socket may have 43,000 of them."""
    agent.plays(run("Hello"))
    parsed, in_a_turn = 0, [0]
    end_chunk = StreamReader.end_http_chunk_receiving

    def count(body: StreamReader) -> None:
        nonlocal parsed
        parsed += 1
        end_chunk(body)

    def on_turn() -> None:
        nonlocal parsed, ticking
        in_a_turn.append(parsed)
        parsed = 0
        ticking = loop.call_soon(on_turn)

    monkeypatch.setattr(StreamReader, "end_http_chunk_receiving", count)
    loop = asyncio.get_running_loop()
    ticking = loop.call_soon(on_turn)
    body = CODINGS[encoding](chat_body("x" * 100_000))
    line = await (await proxy()).dial()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {encoding}"
    await line.send(f"{head}\r\n\r\n".encode() + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert (await line.read_head())[0] == 200
    ticking.cancel()
    assert sum(in_a_turn) == len(body) + 1, "and the last, which is empty"
    assert max(in_a_turn) < 17_000
    await line.read_until(b"[DONE]")
    await line.close()


@pytest.mark.parametrize("sent", [b"", b'{"messages": ['])
async def test_a_body_that_does_not_come_is_not_waited_for(proxy: StartProxy, agent: Agent, sent: bytes) -> None:
    line = await (await proxy(body_timeout=0.1)).dial()
    await line.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode() + sent)
    status, headers = await line.read_head()
    assert (status, headers["x-should-retry"]) == (408, "true")
    body = await line.read(int(headers["content-length"]))
    assert check_error_body(body)["code"] == "request_timeout"
    assert agent.exchanges == []
    await line.close()


async def test_a_body_that_trickles_is_not_waited_for_either(proxy: StartProxy) -> None:
    line = await (await proxy(body_timeout=0.1)).dial()
    await line.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".encode())

    async def trickle() -> None:
        while True:
            await line.send(b" ")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    assert (await line.read_head())[0] == 408
    trickling.cancel()
    await asyncio.wait([trickling])
    await line.close()


async def test_broken_chunks_are_refused(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy()).dial()
    await line.send(
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n".encode()
    )
    assert (await line.read_head())[0] == 400
    assert agent.exchanges == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_runs_nothing(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy()
    line = await front.dial()
    await line.send(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode() + b"{")
    await line.close()
    assert (await front.get("/healthz")).status == 200
    assert agent.exchanges == []


async def longest_turn(turns: list[float]) -> None:
    """Appends the processor time of each turn of the event loop, until it is cancelled."""
    while True:
        began = time.thread_time()
        await asyncio.sleep(0)
        turns.append(time.thread_time() - began)


@pytest.mark.parametrize("member", [b"", b" "], ids=["empty", "of one byte"])
async def test_many_members_do_not_hold_the_event_loop(proxy: StartProxy, agent: Agent, member: bytes) -> None:
    agent.plays(run("Hello"))
    body = gzip.compress(member) * 45_000 + gzip.compress(chat_body())
    front = await proxy()
    turns: list[float] = []
    ticker = asyncio.create_task(longest_turn(turns))
    try:
        received = await front.post(body, headers={"Content-Encoding": "gzip"})
    finally:
        ticker.cancel()
    assert received.status == 200
    assert max(turns) < sum(turns) / 5
