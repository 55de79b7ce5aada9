"""Requests in a row on one connection: each has its own answer or its own fault, wherever the row breaks.

What a single exchange may meet is tested with the client, in `test_server_upstream_http_client`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_gateway import Gateway, Peer, listening, on_every_loop, turns

from oaicompat_proxy.core.errors import UpstreamError, UpstreamInterrupted, UpstreamTimeout
from oaicompat_proxy.server.upstream.http_client import StreamClient
from oaicompat_proxy.server.upstream.http_connection import MAX_HEAD
from oaicompat_proxy.server.upstream.http_exchange import NO_LIMITS, Exchange, Limits

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-First: 1\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nX-T: t\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Broken\r\nContent-Length: 5\r\n\r\nfault",
]
SAID = [(200, b"{}"), (404, b"no"), (200, b""), (500, b"fault")]
WIRE = b"".join(ANSWERS)
ENDS = [sum(map(len, ANSWERS[:count])) for count in range(1, 5)]
"""Where each answer ends in WIRE."""


async def kept(gateway: Gateway, **settings: float) -> tuple[StreamClient, Peer]:
    """A client with a connection that nobody uses."""
    client = gateway.client(**settings)
    asking = asyncio.create_task(client.request("GET", "/first"))
    peer = await gateway.peer()
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await (await asking).finish(1)
    return client, peer


async def row(client: StreamClient, peer: Peer, count: int = 4, limits: Limits = NO_LIMITS) -> list[Exchange]:
    """So many requests, and all of them have arrived."""
    exchanges = client.ask_in_a_row([(f"/{number}", b"%d" % number) for number in range(count)], {}, limits)
    assert len(exchanges) == count
    for number in range(count):
        request = await peer.request()
        assert request.startswith(b"POST /%d HTTP/1.1\r\n" % number)
        assert request.endswith(b"\r\n\r\n%d" % number)
    return exchanges


async def outcome(exchange: Exchange) -> tuple[int, bytes] | type[UpstreamError]:
    try:
        await exchange.head()
        body = b""
        while data := await exchange.read():
            body += data
    except UpstreamError as error:
        return type(error)
    return exchange.status, body


async def outcomes(exchanges: list[Exchange]) -> list[tuple[int, bytes] | type[UpstreamError]]:
    return [await outcome(exchange) for exchange in exchanges]


def ends_of(exchanges: list[Exchange]) -> list[int]:
    """Notes the number of each exchange when it tells that it is over."""
    ends: list[int] = []
    for number, exchange in enumerate(exchanges):
        exchange.on_end = lambda number=number: ends.append(number)  # type: ignore[misc]
    return ends


async def is_kept(client: StreamClient, peer: Peer) -> bool:
    """Whether the connection serves on, as if nothing had been."""
    if not client._idle:
        return False
    (exchange,) = await row(client, peer, 1)
    peer.send(ANSWERS[0])
    return await outcome(exchange) == SAID[0]


@on_every_loop
async def test_all_are_asked_in_one_write_before_any_answer(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer)
    assert not any(exchange.head_complete for exchange in exchanges)
    ends = ends_of(exchanges)
    peer.send(WIRE)
    assert await outcomes(exchanges) == SAID
    assert ends == [0, 1, 2, 3]
    assert exchanges[0].take_headers()[b"x-first"] == b"1"
    assert b"x-first" not in exchanges[1].take_headers()
    assert await is_kept(client, peer)


@pytest.mark.parametrize("apart", ["byte by byte", "answer by answer"])
@on_every_loop
async def test_each_has_its_own_answer(gateway: Gateway, apart: str) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer)
    ends = ends_of(exchanges)
    await peer.send_apart(ANSWERS if apart == "answer by answer" else (WIRE[at : at + 1] for at in range(len(WIRE))))
    assert await outcomes(exchanges) == SAID
    assert ends == [0, 1, 2, 3]
    assert await is_kept(client, peer)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(WIRE)), max_size=6).map(sorted))
def test_wherever_the_answers_are_cut(cuts: list[int]) -> None:
    async def run() -> None:
        async with listening() as gateway:
            client, peer = await kept(gateway)
            exchanges = await row(client, peer)
            bounds = [0, *cuts, len(WIRE)]
            await peer.send_apart(WIRE[start:end] for start, end in itertools.pairwise(bounds) if start < end)
            assert await outcomes(exchanges) == SAID
            assert await is_kept(client, peer)

    asyncio.run(run())


@pytest.mark.parametrize("how", ["close", "reset"])
@on_every_loop
async def test_a_row_that_breaks_off_anywhere_has_those_answers_that_were_whole(
    gateway: Gateway, how: Literal["close", "reset"]
) -> None:
    for at in (0, 1, ENDS[0] - 1, ENDS[0], ENDS[0] + 30, ENDS[1], ENDS[2] + 3, ENDS[3] - 1):
        client, peer = await kept(gateway)
        exchanges = await row(client, peer)
        ends = ends_of(exchanges)
        peer.send(WIRE[:at])
        await turns()
        getattr(peer, how)()
        whole = sum(end <= at for end in ENDS)
        assert await outcomes(exchanges) == [*SAID[:whole], *[UpstreamInterrupted] * (4 - whole)], at
        assert ends == [0, 1, 2, 3]
        assert client._idle == {}
        await peer.until_closed()
        gateway.peers.remove(peer)


LAST_ANSWERS = {
    "the gateway means to close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "it speaks an older HTTP": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("more", [b"", ANSWERS[1]])
@pytest.mark.parametrize("name", LAST_ANSWERS)
@on_every_loop
async def test_behind_the_last_answer_of_a_connection_nobody_has_one(gateway: Gateway, name: str, more: bytes) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer)
    peer.send(ANSWERS[0] + LAST_ANSWERS[name] + more)
    assert await outcomes(exchanges) == [SAID[0], (200, b"{}"), UpstreamInterrupted, UpstreamInterrupted]
    await peer.until_closed()


@on_every_loop
async def test_only_the_close_may_end_an_answer_and_then_it_is_the_last(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer, 2)
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n{}")
    peer.close()
    assert await outcomes(exchanges) == [SAID[0], UpstreamInterrupted]


@on_every_loop
async def test_what_is_no_http_ends_the_row(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer, 3)
    peer.send(ANSWERS[0] + b"nonsense\r\n\r\n")
    first, second, third = await outcomes(exchanges)
    assert (first, second, third) in [
        (SAID[0], UpstreamError, UpstreamInterrupted),
        (SAID[0], UpstreamInterrupted, UpstreamInterrupted),
    ]
    await peer.until_closed()


@on_every_loop
async def test_an_answer_that_nobody_asked_for_closes_the_connection(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer, 2)
    peer.send(ANSWERS[0] + ANSWERS[1] + ANSWERS[2])
    assert await outcomes(exchanges) == SAID[:2]
    await peer.until_closed()
    assert client._idle == {}


@on_every_loop
async def test_silence_is_the_end_of_all_that_wait(gateway: Gateway) -> None:
    client, peer = await kept(gateway, silence_timeout=0.05)
    exchanges = await row(client, peer, 3)
    peer.send(ANSWERS[0])
    first, *others = await outcomes(exchanges)
    assert first == SAID[0]
    assert set(others) <= {UpstreamTimeout, UpstreamInterrupted}
    await peer.until_closed()


@on_every_loop
async def test_cutting_one_cuts_those_behind_it(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer, 3)
    ends = ends_of(exchanges)
    peer.send(ANSWERS[0])
    assert await outcome(exchanges[0]) == SAID[0]
    exchanges[1].cut()
    assert await outcomes(exchanges[1:]) == [UpstreamInterrupted] * 2
    assert ends == [0, 1, 2]
    await peer.until_closed()


@on_every_loop
async def test_the_bound_for_what_is_no_body_is_of_each_answer(gateway: Gateway) -> None:
    client, peer = await kept(gateway)
    exchanges = await row(client, peer, 4)
    long = b"HTTP/1.1 200 OK\r\nX-Long: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * (MAX_HEAD // 3))
    for _ in exchanges:
        peer.send(long)
        await turns(20)
    assert await outcomes(exchanges) == [(200, b"")] * 4
    assert await is_kept(client, peer)


@on_every_loop
async def test_without_a_kept_connection_nothing_is_asked(gateway: Gateway) -> None:
    client = gateway.client()
    assert client.ask_in_a_row([("/a", b"")], {}, NO_LIMITS) == []
    assert gateway.peers == []
