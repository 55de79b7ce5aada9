"""The lean client against a gateway that sends exactly these bytes: HTTP as it may be, and as it may not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from oaicompat_proxy.server.upstream import http_client
from oaicompat_proxy.server.upstream.http_client import HttpClient
from oaicompat_proxy.server.upstream.http_connection import MAX_HEAD, HttpConnection
from oaicompat_proxy.server.upstream.http_exchange import MAX_BUFFERED, Exchange
from tests.support.examples import examples
from tests.support.raw_gateway import Gateway, Peer, listening, on_every_loop, turns

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ONE_READ = 256 * 1024
"""The most that an event loop reads at once."""


def chunks(body: bytes, *sizes: int) -> bytes:
    """The body in chunks of these sizes, the rest in one more."""
    wire = b""
    for size in (*sizes, len(body)):
        piece, body = body[:size], body[size:]
        wire += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
    return wire + b"0\r\n\r\n"


def counted(body: bytes, *lines: str, first: bytes = OK) -> bytes:
    head = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    return first + head.encode() + b"\r\n" + body


def into(pieces: list[bytes]) -> Callable[[bytes], bool]:
    """Takes all there is."""

    def take(data: bytes) -> bool:
        pieces.append(data)
        return True

    return take


async def pulled(exchange: Exchange) -> bytes:
    body = b""
    while data := await exchange.read():
        body += data
    return body


async def pushed(exchange: Exchange) -> bytes:
    pieces: list[bytes] = []
    await exchange.push_to(b"".join, into(pieces))
    return b"".join(pieces)


async def received(reading: Callable[[Exchange], object], exchange: Exchange) -> tuple[bytes, UpstreamError | None]:
    """The received bytes, and the error after them."""
    pieces: list[bytes] = []
    try:
        if reading is pushed:
            await exchange.push_to(b"".join, into(pieces))
        else:
            while data := await exchange.read():
                pieces.append(data)
    except UpstreamError as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


READINGS = pytest.mark.parametrize("reading", [pulled, pushed])


async def get_again(client: HttpClient, gateway: Gateway) -> bool:
    """Asks once more; whether that came on a connection that was there."""
    before = len(gateway.peers)
    again = asyncio.create_task(client.request("GET", "/again"))
    await gateway.until(lambda: any(b"/again" in peer.received for peer in gateway.peers))
    peer = next(peer for peer in gateway.peers if b"/again" in peer.received)
    await peer.request()
    peer.send(counted(b"again"))
    assert await pulled(await again) == b"again"
    return len(gateway.peers) == before


# Whole answers


@dataclass(frozen=True)
class Whole:
    wire: bytes
    body: bytes
    status: int = 200
    kept: bool = True
    """The connection serves the next request, too."""
    closes: bool = False
    """The gateway closes behind the answer."""


WHOLE = {
    "chunked": Whole(CHUNKED + chunks(b"Hello, world", 5, 1), b"Hello, world"),
    "chunks of one byte": Whole(CHUNKED + chunks(b"Hello", 1, 1, 1, 1), b"Hello"),
    "no chunks": Whole(CHUNKED + chunks(b""), b""),
    "extensions of chunks": Whole(CHUNKED + b'2;a=b;c\r\nHi\r\n1;d="e;f"\r\n!\r\n0;last\r\n\r\n', b"Hi!"),
    "sizes in any spelling": Whole(
        CHUNKED + b"00A\r\n0123456789\r\n0a\r\n9876543210\r\n000\r\n\r\n", b"01234567899876543210"
    ),
    "line ends in a chunk": Whole(CHUNKED + b"5\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n0\r\n"),
    "trailers": Whole(CHUNKED + b"2\r\nHi\r\n0\r\nDigest: x\r\nContent-Encoding: gzip\r\n\r\n", b"Hi"),
    "counted": Whole(counted(b"Hello"), b"Hello"),
    "counted, nothing": Whole(counted(b""), b""),
    "names in any case": Whole(OK + b"cOnTeNt-LeNgTh:2\r\n\r\nHi", b"Hi"),
    "space around a value": Whole(OK + b"Content-Length: \t 2 \t\r\n\r\nHi", b"Hi"),
    "up to the close": Whole(OK + b"\r\nHello", b"Hello", kept=False, closes=True),
    "nothing up to the close": Whole(OK + b"\r\n", b"", kept=False, closes=True),
    "no reason phrase": Whole(counted(b"Hi", first=b"HTTP/1.1 200\r\n"), b"Hi"),
    "empty reason phrase": Whole(counted(b"Hi", first=b"HTTP/1.1 200 \r\n"), b"Hi"),
    "one piece of news before": Whole(b"HTTP/1.1 100 Continue\r\n\r\n" + counted(b"Hi"), b"Hi"),
    "much news before": Whole(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n" * 3 + CHUNKED + chunks(b"Hi"), b"Hi"
    ),
    "a failure": Whole(counted(b"no", first=b"HTTP/1.1 500 Internal Server Error\r\n"), b"no", 500),
    "no content": Whole(b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204),
    "close announced, counted": Whole(counted(b"Hi", "Connection: close"), b"Hi", kept=False),
    "close announced, chunked": Whole(
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"Hi"), b"Hi", kept=False
    ),
    "HTTP/1.0, counted": Whole(counted(b"Hi", first=b"HTTP/1.0 200 OK\r\n"), b"Hi", kept=False),
    "HTTP/1.0, up to the close": Whole(b"HTTP/1.0 200 OK\r\n\r\nHi", b"Hi", kept=False, closes=True),
    "HTTP/1.0, kept on purpose": Whole(counted(b"Hi", "Connection: keep-alive", first=b"HTTP/1.0 200 OK\r\n"), b"Hi"),
}


async def ask(client: HttpClient, gateway: Gateway, number: int = 0) -> tuple[asyncio.Task[Exchange], Peer]:
    """A request that waits for its answer, and where it came."""
    asking = asyncio.create_task(client.request("POST", "/send", b"?"))
    peer = await gateway.peer(number)
    await peer.request()
    return asking, peer


@pytest.mark.slow
@READINGS
@pytest.mark.parametrize("name", WHOLE)
@on_every_loop
async def test_an_answer_is_read_whole_however_it_is_framed_and_cut(
    gateway: Gateway, name: str, reading: Callable[..., object]
) -> None:
    """Whole, byte by byte, and in two at every place; afterwards the connection is kept, or not."""
    case = WHOLE[name]
    cuts = [[case.wire], [case.wire[at : at + 1] for at in range(len(case.wire))]]
    cuts += [[case.wire[:at], case.wire[at:]] for at in range(1, len(case.wire), 1 + len(case.wire) // 40)]
    client = gateway.client()
    for pieces in cuts:
        asking, peer = await ask(client, gateway, len(gateway.peers) - bool(gateway.peers and case.kept))
        sending = asyncio.create_task(send_all(peer, pieces, case.closes))
        exchange = await asking
        assert (exchange.status, await received(reading, exchange)) == (case.status, (case.body, None))
        assert b"content-encoding" not in exchange.take_headers()
        await sending
        await turns()
        assert exchange.complete
    assert await get_again(client, gateway) is case.kept


async def send_all(peer: Peer, pieces: Iterable[bytes], closes: bool) -> None:
    await peer.send_apart(pieces)
    if closes:
        peer.close()


BODIES = st.lists(st.binary(min_size=1, max_size=300), max_size=6)


@examples(60)
@given(BODIES, st.lists(st.integers(1, 400), max_size=6), st.sampled_from([pulled, pushed]))
def test_any_body_in_any_chunks_with_any_cuts(
    pieces: list[bytes], cuts: list[int], reading: Callable[..., object]
) -> None:
    async def check() -> None:
        async with listening() as gateway:
            wire = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            asking, peer = await ask(gateway.client(), gateway)
            for size in cuts:
                await peer.send_apart([wire[:size]])
                wire = wire[size:]
            peer.send(wire)
            assert await received(reading, await asking) == (b"".join(pieces), None)

    asyncio.run(check())


@on_every_loop
async def test_headers_are_found_in_any_case_and_news_and_trailers_leave_none(gateway: Gateway) -> None:
    asking, peer = await ask(gateway.client(), gateway)
    peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    await turns()
    peer.send(b"Content-TYPE: text/event-stream; charset=utf-8\r\nX-Odd: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange = await asking
    peer.send(b"1\r\n!\r\n0\r\nX-Trailer: 1\r\nContent-Type: text/html\r\n\r\n")
    assert await pulled(exchange) == b"!"
    headers = exchange.take_headers()
    assert headers == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"x-odd": b"\xe9",
        b"transfer-encoding": b"chunked",
    }


# What is no HTTP


@dataclass(frozen=True)
class Broken:
    wire: bytes
    before: bytes | None = None
    """The bytes before the error; None if there is no response at all."""


BROKEN = {
    "anything": Broken(b"Hello!\r\n\r\n"),
    "another protocol": Broken(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a handshake": Broken(b"\x15\x03\x01\x00\x02\x02\x16"),
    "HTTP/2": Broken(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    "a request": Broken(b"POST /send HTTP/1.1\r\n\r\n"),
    "no status": Broken(b"HTTP/1.1 OK\r\n\r\n"),
    "status 99": Broken(b"HTTP/1.1 99 Low\r\n\r\n"),
    "status 2000": Broken(b"HTTP/1.1 2000 High\r\n\r\n"),
    "switched protocols": Broken(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "both framings": Broken(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "both framings, other order": Broken(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"),
    "two lengths": Broken(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    "the same length twice": Broken(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    "a list of lengths": Broken(OK + b"Content-Length: 2, 2\r\n\r\nab"),
    "a negative length": Broken(OK + b"Content-Length: -2\r\n\r\nab"),
    "a length that is none": Broken(OK + b"Content-Length: two\r\n\r\nab"),
    "a length beyond all numbers": Broken(OK + b"Content-Length: 99999999999999999999\r\n\r\nab"),
    "a space before the colon": Broken(OK + b"Content-Length : 2\r\n\r\nab"),
    "a folded header": Broken(OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    "a zero byte in a header": Broken(OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"),
    "bare line feeds": Broken(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    "a size that is none": Broken(CHUNKED + b"1\r\na\r\nzz\r\n", b"a"),
    "no size": Broken(CHUNKED + b"1\r\na\r\n\r\n", b"a"),
    "a negative size": Broken(CHUNKED + b"1\r\na\r\n-1\r\n", b"a"),
    "a size beyond all numbers": Broken(CHUNKED + b"1\r\na\r\nfffffffffffffffff\r\n", b"a"),
    "a chunk that is longer than it says": Broken(CHUNKED + b"1\r\nab\r\n0\r\n\r\n", b"a"),
    "a size with a bare line feed": Broken(CHUNKED + b"1\r\na\r\n1\na\r\n", b"a"),
    "a broken trailer": Broken(CHUNKED + b"1\r\na\r\n0\r\nno trailer\r\n\r\n", b"a"),
}


@pytest.mark.slow
@READINGS
@pytest.mark.parametrize("name", BROKEN)
@on_every_loop
async def test_the_error_of_malformed_http_follows_the_answers_before_it(
    gateway: Gateway, name: str, reading: Callable[..., object]
) -> None:
    """The same for every cut; the connection is closed, and the client goes on."""
    case = BROKEN[name]
    client = gateway.client()
    cuts = [[case.wire], [case.wire[at : at + 1] for at in range(len(case.wire))]]
    for number, pieces in enumerate(cuts):
        asking, peer = await ask(client, gateway, number)
        await peer.send_apart(pieces)
        if case.before is None:
            with pytest.raises(UpstreamError, match="HTTP"):
                await asking
        else:
            body, fault = await received(reading, await asking)
            assert body == case.before
            assert type(fault) is UpstreamError
        await peer.until_closed()
    assert not await get_again(client, gateway)


# Bounds

ENDLESS = {
    "one header": (OK + b"X: ", b"x" * 4096),
    "many headers": (OK, b"X: y\r\n" * 512),
    "the reason": (b"HTTP/1.1 200 ", b"x" * 4096),
    "news": (b"", b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" * 64),
    "empty lines": (b"", b"\r\n" * 2048),
    "one trailer": (CHUNKED + b"1\r\na\r\n0\r\nX: ", b"x" * 4096),
    "many trailers": (CHUNKED + b"1\r\na\r\n0\r\n", b"X: y\r\n" * 512),
    "an extension": (CHUNKED + b"1\r\na\r\n1;", b"x" * 4096),
}


@pytest.mark.parametrize("name", ENDLESS)
@on_every_loop
async def test_what_never_becomes_a_body_has_a_bound(gateway: Gateway, name: str) -> None:
    begin, more = ENDLESS[name]
    asking, peer = await ask(gateway.client(), gateway)
    await peer.send_apart([begin])
    sent = 0
    while not peer.closed and sent <= MAX_HEAD + 4 * len(more):
        await peer.send_apart([more])
        sent += len(more)
    assert MAX_HEAD - len(begin) <= sent <= MAX_HEAD + 2 * len(more)
    with pytest.raises(UpstreamError, match="HTTP"):
        await pulled(await asking)


@on_every_loop
async def test_a_long_body_may_be_as_long_as_it_likes(gateway: Gateway) -> None:
    asking, peer = await ask(gateway.client(), gateway)
    piece = b"x" * 1000
    peer.send(CHUNKED + b"%x\r\n%b\r\n" % (len(piece), piece) * 3000 + b"0\r\n\r\n")
    assert len(await pulled(await asking)) == 3_000_000


# An end that comes too early

CUT_OFF = {
    "chunked": (CHUNKED + chunks(b"Hello", 2, 1), True),
    "counted": (counted(b"Hello"), True),
    "up to the close": (OK + b"\r\nHello", False),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close", "reset"])
@READINGS
@pytest.mark.parametrize("name", CUT_OFF)
@on_every_loop
async def test_an_answer_that_breaks_off_anywhere_is_never_whole(
    gateway: Gateway, name: str, reading: Callable[..., object], how: str
) -> None:
    wire, delimited = CUT_OFF[name]
    head = wire.index(b"\r\n\r\n") + 4
    client = gateway.client()
    for end in range(len(wire)):
        asking, peer = await ask(client, gateway, end)
        await peer.send_apart([wire[:end]])
        getattr(peer, how)()
        if end < head:
            with pytest.raises(UpstreamInterrupted, match="without an answer"):
                await asking
            continue
        body, fault = await received(reading, await asking)
        assert b"Hello".startswith(body)
        if delimited or how == "reset":
            assert isinstance(fault, UpstreamInterrupted), f"whole after {wire[:end]!r}"
        else:
            assert (body, fault) == (wire[head:end], None)  # the close is a normal end of such a body


@on_every_loop
async def test_what_came_before_a_break_is_delivered_before_the_error(gateway: Gateway) -> None:
    """Also if no reader waited when both arrived."""
    asking, peer = await ask(gateway.client(), gateway)
    peer.send(CHUNKED + b"5\r\nHello\r\n")
    exchange = await asking
    peer.close()
    await peer.until_closed()
    await turns()
    assert await exchange.read() == b"Hello"
    for _ in range(2):
        with pytest.raises(UpstreamInterrupted):
            await exchange.read()


# Connections that are kept


@on_every_loop
async def test_the_connection_that_was_used_last_is_used_first(gateway: Gateway) -> None:
    client = gateway.client()
    asked = [await ask(client, gateway, number) for number in range(3)]
    for asking, peer in (asked[1], asked[2], asked[0]):
        peer.send(counted(b""))
        await (await asking).finish(1)
    order = []
    for _ in range(3):
        asking = asyncio.create_task(client.request("GET", "/next"))
        await gateway.until(lambda: any(peer.received for peer in gateway.peers))
        order += [number for number, peer in enumerate(gateway.peers) if peer.received]
        await gateway.peers[order[-1]].request()
        asked.append((asking, gateway.peers[order[-1]]))
    assert order == [0, 2, 1]
    for asking, _ in asked[3:]:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking


@on_every_loop
async def test_an_unused_connection_is_closed_before_the_gateway_would(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http_client.KEEP_ALIVE == 4.0
    monkeypatch.setattr(http_client, "KEEP_ALIVE", 0.02)
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    assert await pulled(await asking) == b"Hi"
    assert not peer.closed
    await peer.until_closed()
    assert not await get_again(client, gateway)


@on_every_loop
async def test_a_connection_in_use_does_not_expire(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier idle time does not count."""
    monkeypatch.setattr(http_client, "KEEP_ALIVE", 0.03)
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    await (await asking).finish(1)
    asking, _ = await ask(client, gateway)
    await asyncio.sleep(0.06)
    peer.send(counted(b"late"))
    assert await pulled(await asking) == b"late"


@pytest.mark.parametrize("how", ["close", "reset", "send"])
@on_every_loop
async def test_an_idle_connection_on_which_the_gateway_stirs_is_not_used_again(gateway: Gateway, how: str) -> None:
    """The gateway closed it, or sent unrequested bytes, which could be taken for the next response."""
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    await (await asking).finish(1)
    if how == "send":
        peer.send(counted(b"forged"))
    else:
        getattr(peer, how)()
    await peer.until_closed()
    await turns()
    assert not await get_again(client, gateway)


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
@on_every_loop
async def test_a_close_that_the_loop_has_not_reported_yet_costs_no_request(gateway: Gateway, how: int) -> None:
    """The gateway's close lies in our socket already, and the request is sent before any callback runs."""
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    await (await asking).finish(1)
    with socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno())) as theirs:
        theirs.shutdown(how)
    assert len(client.kept) == 1
    assert not await get_again(client, gateway)


@pytest.mark.parametrize("sent", [False, True])
@on_every_loop
async def test_a_request_that_was_sent_is_never_sent_again(gateway: Gateway, sent: bool) -> None:
    """The gateway closes the kept connection after a request was sent on it: whether it was read is unknown."""
    client = gateway.client(connect_retries=4)
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    await (await asking).finish(1)
    again = await client.request("POST", "/send", b"once", wait=False)
    if sent:
        assert (await peer.request()).endswith(b"once")
    else:
        await turns(1)
    peer.reset()
    with pytest.raises(UpstreamInterrupted):
        await again.head()
    assert len(gateway.peers) == 1


TOO_MUCH = {
    "a second answer": counted(b"forged", "Content-Type: text/html"),
    "the beginning of one": b"HTTP/1.1 500",
    "something else": b"forged",
    "one byte": b"H",
}


@READINGS
@pytest.mark.parametrize("first", ["chunked", "counted"])
@pytest.mark.parametrize("name", TOO_MUCH)
@on_every_loop
async def test_bytes_behind_the_end_are_nobodys(
    gateway: Gateway, name: str, first: str, reading: Callable[..., object]
) -> None:
    """In the same read as the end: they belong neither to this answer nor to the next."""
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    head, wire = (CHUNKED, chunks(b"Hi")) if first == "chunked" else (counted(b"Hi")[:-2], b"Hi")
    await peer.send_apart([head])
    exchange = await asking
    peer.send(wire + TOO_MUCH[name])
    assert await received(reading, exchange) == (b"Hi", None)
    assert (exchange.status, exchange.take_headers().get(b"content-type")) == (200, None)
    assert not await get_again(client, gateway)
    assert peer.closed


@on_every_loop
async def test_an_exchange_that_is_cut_takes_its_connection_with_it(gateway: Gateway) -> None:
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(CHUNKED + b"2\r\nHi\r\n")
    exchange = await asking
    exchange.abort()
    await peer.until_closed()
    assert await exchange.read() == b"Hi"
    with pytest.raises(UpstreamInterrupted):
        await exchange.read()
    assert not await get_again(client, gateway)


@on_every_loop
async def test_cutting_what_is_over_does_nothing(gateway: Gateway) -> None:
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"Hi"))
    exchange = await asking
    assert await pulled(exchange) == b"Hi"
    exchange.abort()
    exchange.abort()
    assert await get_again(client, gateway)


@on_every_loop
async def test_finishing_waits_for_the_end_but_not_for_ever(gateway: Gateway) -> None:
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(CHUNKED + b"2\r\nHi\r\n")
    exchange = await asking
    finishing = asyncio.create_task(exchange.finish(5))
    await turns()
    peer.send(b"1\r\n!\r\n0\r\n\r\n")
    await finishing
    asking, _ = await ask(client, gateway)
    peer.send(CHUNKED + b"2\r\nHi\r\n")
    await (await asking).finish(0.01)
    await peer.until_closed()


@on_every_loop
async def test_finishing_a_paused_exchange_reads_on(gateway: Gateway) -> None:
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(CHUNKED)
    exchange = await asking
    exchange.pause()
    peer.send(chunks(b"Hi"))
    await exchange.finish(5)
    assert exchange.complete
    assert await get_again(client, gateway)


@on_every_loop
async def test_who_was_served_before_has_no_hold_of_the_connection(gateway: Gateway) -> None:
    """An answer that is whole but not yet read, and then the next on the same connection."""
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b"first"))
    first = await asking
    asking, _ = await ask(client, gateway)
    peer.send(CHUNKED)
    second = await asking
    first.pause()
    peer.send(b"1\r\n2\r\n")
    assert await second.read() == b"2"
    second.pause()
    assert await pulled(first) == b"first"
    first.resume()
    first.abort()
    peer.send(b"1\r\n3\r\n")
    await turns(10)
    assert second.buffered == 0
    second.resume()
    peer.send(b"0\r\n\r\n")
    assert await pulled(second) == b"3"


@on_every_loop
async def test_a_closed_client_keeps_no_connection(gateway: Gateway) -> None:
    """Those that rest are closed at once, one in use after its answer."""
    client = gateway.client()
    (first, idle), (second, busy) = [await ask(client, gateway, number) for number in range(2)]
    idle.send(counted(b""))
    await (await first).finish(1)
    busy.send(CHUNKED)
    exchange = await second
    client.close()
    await idle.until_closed()
    assert not busy.closed
    busy.send(chunks(b"Hi"))
    assert await pulled(exchange) == b"Hi"
    await busy.until_closed()


# Requests


@pytest.mark.parametrize(
    ("base", "path", "host"),
    [
        ("http://127.0.0.1:{port}", "/send", "127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/", "/send", "127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/a/b%20c/", "/a/b%20c/send", "127.0.0.1:{port}"),
        ("http://LocalHost:{port}", "/send", "localhost:{port}"),
    ],
)
@on_every_loop
async def test_a_request_is_exactly_this(gateway: Gateway, base: str, path: str, host: str) -> None:
    client = gateway.client(base, headers={"Authorization": "Bearer t\xf6ken", "Accept-Encoding": "identity"})
    for method, body in (("POST", b"{}"), ("GET", b""), ("POST", b"")):
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        asking = asyncio.create_task(client.request(method, "/send", body))
        peer = await gateway.peer()
        expected = (
            f"{method} {path} HTTP/1.1\r\nHost: {host.format(port=gateway.port)}\r\n"
            f"Authorization: Bearer t\xf6ken\r\nAccept-Encoding: identity\r\n{length}\r\n"
        )
        assert await peer.request() == expected.encode("latin-1") + body
        peer.send(counted(b""))
        await asking


@on_every_loop
async def test_a_large_request_arrives_whole(gateway: Gateway) -> None:
    body = bytes(range(256)) * 20_000
    asking = asyncio.create_task(gateway.client().request("POST", "/send", body))
    peer = await gateway.peer()
    assert (await peer.request()).endswith(b"\r\n\r\n" + body)
    peer.send(counted(b""))
    await asking


@on_every_loop
async def test_an_answer_may_come_before_the_request_is_through(gateway: Gateway) -> None:
    """A gateway refuses a body that is too long while it still comes, and closes."""
    client = gateway.client()
    asking = asyncio.create_task(client.request("POST", "/send", b"x" * 20_000_000))
    peer = await gateway.peer()
    await peer.until(lambda: peer.received)
    peer.transport.pause_reading()
    peer.send(counted(b"no", "Connection: close", first=b"HTTP/1.1 413 Content Too Large\r\n"))
    exchange = await asking
    assert (exchange.status, await pulled(exchange)) == (413, b"no")
    peer.transport.resume_reading()


# No connection


@pytest.mark.parametrize("base", ["http://127.0.0.1:{bound}", "https://127.0.0.1:{bound}", "http://gateway.invalid:1"])
@on_every_loop
async def test_a_gateway_that_is_not_there_is_unreachable(gateway: Gateway, base: str) -> None:
    with socket.socket() as silent:  # bound, so that nobody else takes the port; but nothing listens
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable):
            await gateway.client(base.replace("{bound}", str(silent.getsockname()[1]))).request("POST", "/send", b"?")


@pytest.mark.parametrize("how", ["close", "reset", "answer"])
@on_every_loop
async def test_a_gateway_that_speaks_no_tls_has_not_heard_the_request(gateway: Gateway, how: str) -> None:
    asking = asyncio.create_task(gateway.client("https://127.0.0.1:{port}").request("POST", "/send", b"secret"))
    peer = await gateway.peer()
    await peer.until(lambda: peer.received)
    if how == "answer":
        peer.send(counted(b"plain"))
    else:
        getattr(peer, how)()
    with pytest.raises(UpstreamUnreachable, match="TLS handshake" if how == "answer" else "cannot be reached"):
        await asking
    assert b"secret" not in peer.received


@on_every_loop
async def test_a_handshake_that_is_not_answered_counts_as_connecting(gateway: Gateway) -> None:
    with pytest.raises(UpstreamConnectTimeout):
        await gateway.client("https://127.0.0.1:{port}", connect_timeout=0.05).request("POST", "/send", b"?")


@on_every_loop
async def test_a_gateway_that_does_not_accept_in_time(gateway: Gateway) -> None:
    """A listener whose backlog is full: the system lets further connections wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        port = full.getsockname()[1]
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        with pytest.raises(UpstreamConnectTimeout):
            await gateway.client(f"http://127.0.0.1:{port}", connect_timeout=0.05).request("POST", "/send", b"?")


# Silence


@pytest.mark.parametrize("begun", ["nothing", "news", "half a head", "a head", "a body", "up to the close"])
@on_every_loop
async def test_a_gateway_that_falls_silent_is_given_up(gateway: Gateway, begun: str) -> None:
    wire = {
        "nothing": b"",
        "news": b"HTTP/1.1 102 Processing\r\n\r\n",
        "half a head": OK,
        "a head": CHUNKED,
        "a body": CHUNKED + b"2\r\nHi\r\n",
        "up to the close": OK + b"\r\nHi",
    }[begun]
    asking, peer = await ask(gateway.client(silence_timeout=0.05), gateway)
    peer.send(wire)
    if begun in ("nothing", "news", "half a head"):
        with pytest.raises(UpstreamTimeout):
            await asking
    else:
        body, fault = await received(pulled, await asking)
        assert body == (b"Hi" if b"Hi" in wire else b"")
        assert isinstance(fault, UpstreamTimeout)
    await peer.until_closed()


@on_every_loop
async def test_silence_is_an_error_also_for_a_later_reader(gateway: Gateway) -> None:
    """An answer without a length must not look whole because we closed its connection."""
    asking, peer = await ask(gateway.client(silence_timeout=0.03), gateway)
    peer.send(OK + b"\r\nHi")
    exchange = await asking
    assert await exchange.read() == b"Hi"
    await peer.until_closed()
    await turns(10)
    with pytest.raises(UpstreamTimeout):
        await exchange.read()


# Back-pressure


@READINGS
@on_every_loop
async def test_a_reader_that_takes_nothing_stops_the_gateway(gateway: Gateway, reading: Callable[..., object]) -> None:
    """The buffer has a bound; afterwards all bytes arrive, in order."""
    asking, peer = await ask(gateway.client(), gateway)
    piece = bytes(range(256)) * 256
    peer.send(CHUNKED)
    exchange = await asking
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        if len(taken) == 1:
            exchange.pause()
        return True

    pumping = asyncio.create_task(exchange.push_to(b"".join, take)) if reading is pushed else None
    await turns()
    count = await peer.pour(b"%x\r\n%b\r\n" % (len(piece), piece), 1000)
    assert not peer.writable, "it could send without end"
    assert exchange.buffered + sum(map(len, taken)) <= MAX_BUFFERED + ONE_READ
    peer.send(b"0\r\n\r\n")
    if pumping is not None:
        exchange.resume()
        await pumping
        body = b"".join(taken)
    else:
        body = await pulled(exchange)
    assert body == piece * count


# A cancelled request leaves nothing behind


async def whole_exchange(client: HttpClient, reading: Callable[..., object]) -> None:
    exchange = await client.request("POST", "/send", b"?")
    try:
        await received(reading, exchange)
        await exchange.finish(1)
    finally:
        exchange.abort()


@READINGS
@on_every_loop
async def test_giving_up_at_any_time_leaves_nothing_behind(gateway: Gateway, reading: Callable[..., object]) -> None:
    """Cancelled after every number of turns, until one request completes; the fixture checks for leaks."""

    async def serve() -> None:
        served: set[Peer] = set()
        while True:
            await gateway.until(lambda: any(peer not in served and peer.received for peer in gateway.peers))
            for peer in [peer for peer in gateway.peers if peer not in served and peer.received]:
                served.add(peer)
                if not peer.closed:
                    await peer.send_apart([OK, b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nHi\r\n", b"0\r\n\r\n"])

    serving = asyncio.create_task(serve())
    cancelled = 0
    for patience in (*range(40), *(2**power for power in range(6, 20))):
        client = gateway.client()
        task = asyncio.create_task(whole_exchange(client, reading))
        await turns(patience)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if not task.cancelled():
            break
        cancelled += 1
    assert not task.cancelled()
    assert cancelled > 3
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


@on_every_loop
async def test_a_hundred_exchanges_at_once_do_not_mix(gateway: Gateway) -> None:
    client = gateway.client()

    async def talk(number: int) -> bytes:
        exchange = await client.request("POST", "/send", b"%d" % number)
        return await (pushed if number % 2 else pulled)(exchange)

    async def serve(peer: Peer) -> None:
        body = (await peer.request()).partition(b"\r\n\r\n")[2]
        await peer.send_apart([CHUNKED, chunks(body * 100, 7, 50), b""])

    for _ in range(3):
        talking = [asyncio.create_task(talk(number)) for number in range(100)]
        await gateway.until(lambda: sum(bool(peer.received) for peer in gateway.peers) == 100)
        await asyncio.gather(*map(serve, gateway.peers))
        assert await asyncio.gather(*talking) == [b"%d" % number * 100 for number in range(100)]
    assert len(gateway.peers) == 100


def exchanges() -> int:
    """How many there are."""
    gc.collect()
    return sum(isinstance(each, Exchange) for each in gc.get_objects())


@on_every_loop
async def test_a_lost_connection_is_freed_without_the_garbage_collector(gateway: Gateway) -> None:
    """Thousands that end together would otherwise stay until its next run, which a quiet proxy hardly needs."""
    client = gateway.client()
    gc.collect()
    gc.disable()
    try:
        before = connections()
        asking, peer = await ask(client, gateway)
        peer.send(CHUNKED)
        exchange = await asking
        assert connections() == before + 1
        exchange.abort()
        await peer.until_closed()
        del exchange, asking
        await turns()
        assert connections() == before
    finally:
        gc.enable()
    client.close()


def connections() -> int:
    return sum(isinstance(each, HttpConnection) for each in gc.get_objects())


@pytest.mark.slow
@on_every_loop
async def test_no_exchange_is_remembered(gateway: Gateway) -> None:
    """The client, the kept connection and the timers have no reference to it."""
    before = exchanges()
    client = gateway.client()
    ways: list[Callable[[Exchange], object]] = [Exchange.abort, pulled, pushed, lambda exchange: exchange.finish(1)]
    for number, way in enumerate(ways):
        asking, peer = await ask(client, gateway, min(number, 1))
        peer.send(CHUNKED + chunks(b"Hi") if way is not Exchange.abort else CHUNKED)
        exchange = await asking
        outcome = way(exchange)
        if outcome is not None:
            await outcome  # type: ignore[misc]
        assert exchanges() > before
        if way is Exchange.abort:
            await peer.until_closed()
        del exchange, asking, outcome
        await turns()
    assert exchanges() == before
    assert len(client.kept) == 1
    client.close()
    await gateway.until(lambda: all(peer.closed for peer in gateway.peers))
    await turns()
    assert client.kept == []


@on_every_loop
async def test_a_connection_that_is_closing_is_not_taken(gateway: Gateway) -> None:
    """Between a close and the word of it, which takes its time, a request would be lost."""
    client = gateway.client()
    asking, peer = await ask(client, gateway)
    peer.send(counted(b""))
    await (await asking).finish(1)
    (connection,) = client.kept
    connection.close()
    assert not await get_again(client, gateway)
