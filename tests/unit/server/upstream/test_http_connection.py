"""A read of the gateway that is over the budget of its turn: on a real pair of sockets, on either event loop."""

from __future__ import annotations

import asyncio
import functools
import select
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from oaicompat_proxy.core.errors import UpstreamError, UpstreamInterrupted
from oaicompat_proxy.server.event_loop.turn_budget import KEPT_UNPAUSED, LONGEST_TURN, QUANTUM, TurnBudget, turn_budget
from oaicompat_proxy.server.upstream.http_connection import LARGE_READ, MANY_CHUNKS, HttpConnection
from oaicompat_proxy.server.upstream.http_exchange import NO_LIMITS, Exchange, Limits
from tests.support.raw_gateway import LOOPS

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
"""The head of a response whose body ends with the connection."""
PATIENCE = 10


class Pair:
    """A connection whose request is sent, and the gateway's end of it."""

    def __init__(
        self, gateway: socket.socket, connection: HttpConnection, transport: asyncio.Transport, limits: Limits
    ) -> None:
        self.gateway = gateway
        self.connection = connection
        self.transport = transport
        self.exchange: Exchange = connection.start(b"GET / HTTP/1.1\r\n\r\n", limits)

    def is_unread(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))


async def new_pair(limits: Limits = NO_LIMITS, head: bytes = HEAD) -> Pair:
    """`head`: the beginning of the gateway's response, if it has sent one."""
    ours, gateway = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_unix_connection(
        lambda: HttpConnection(lambda _: None, lambda _: None), sock=ours
    )
    pair = Pair(gateway, connection, transport, limits)
    if head:
        gateway.sendall(head)
        await pair.exchange.head()
    return pair


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    @pytest.mark.parametrize("loop", LOOPS)
    @functools.wraps(test, assigned=("__name__", "__doc__", "__module__"), updated=())
    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(asyncio.wait_for(test(), PATIENCE))

    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def spend(budget: TurnBudget) -> None:
    while budget.left > 0 or budget.extend():
        budget.left = 0


async def send_over_budget(pair: Pair, data: bytes) -> None:
    """Returns in a turn in which the event loop has read the data, and it waits."""
    budget = turn_budget()
    waits = True

    def spend_all() -> None:
        spend(budget)
        if waits:
            budget.defer(spend_all)

    pair.gateway.sendall(data)
    spend(budget)
    budget.defer(spend_all)
    while True:
        await asyncio.sleep(0)
        if not pair.is_unread():
            break
    waits = False
    assert pair.exchange.received == 0


async def read_all(pair: Pair) -> tuple[bytes, UpstreamError | None]:
    body = b""
    try:
        while data := await pair.exchange.read():
            body += data
    except UpstreamError as error:
        return body, error
    return body, None


@on_each_loop
async def test_the_data_comes_before_the_end() -> None:
    pair = await new_pair()
    pair.gateway.recv(1000)  # with bytes unread, the close would be a reset
    await send_over_budget(pair, b"Hello")
    pair.gateway.close()
    assert await read_all(pair) == (b"Hello", None)


@on_each_loop
async def test_a_whole_response_that_waits_keeps_its_headers() -> None:
    """It and its end are delivered in one turn, before a task has taken the headers."""
    pair = await new_pair(head=b"")
    pair.gateway.recv(1000)
    await send_over_budget(pair, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nHello")
    pair.gateway.close()
    await pair.exchange.head()
    assert pair.exchange.take_headers() == {b"content-type": b"text/event-stream"}
    assert await read_all(pair) == (b"Hello", None)


@on_each_loop
async def test_the_data_comes_before_the_reset() -> None:
    pair = await new_pair()
    await send_over_budget(pair, b"Hello")
    pair.gateway.close()
    body, error = await read_all(pair)
    assert body == b"Hello"
    assert isinstance(error, UpstreamInterrupted)


@on_each_loop
async def test_the_data_comes_before_a_loss_of_the_same_turn() -> None:
    """Where a write has failed, or TLS has brought data and its end together."""
    pair = await new_pair()
    await send_over_budget(pair, b"Hello")
    pair.connection.connection_lost(ConnectionResetError())
    body, error = await read_all(pair)
    assert body == b"Hello"
    assert isinstance(error, UpstreamInterrupted)
    pair.transport.abort()
    pair.gateway.close()


@on_each_loop
async def test_a_cancelled_run_drops_what_waits() -> None:
    pair = await new_pair()
    await send_over_budget(pair, b"Hello")
    pair.exchange.abort()
    assert await read_all(pair) == (b"", pair.exchange.failure)
    for _ in range(5):
        await asyncio.sleep(0)
    assert pair.exchange.received == 0
    pair.gateway.close()


@on_each_loop
async def test_a_read_that_waits_is_no_silence() -> None:
    for limits in (Limits(silence=0.1), Limits(start=0.1)):
        pair = await new_pair(limits)
        pair.gateway.recv(1000)
        pair.gateway.sendall(b"Hello")
        spend(turn_budget())
        for _ in range(3):
            turn_budget().defer(work_for_long)
        assert await pair.exchange.read() == b"Hello"
        pair.exchange.abort()
        pair.gateway.close()


def work_for_long() -> None:
    """Takes a whole turn."""
    time.sleep(0.1)
    spend(turn_budget())


@on_each_loop
async def test_a_read_does_not_overtake_one_that_waits() -> None:
    pair = await new_pair()
    await send_over_budget(pair, b"Hello")
    turn_budget().allow()
    pair.connection.data_received(b", world")
    assert pair.exchange.received == 0
    assert await pair.exchange.read() == b"Hello, world"
    pair.exchange.abort()
    pair.gateway.close()


@on_each_loop
async def test_many_bytes_that_wait_pause_the_socket() -> None:
    pair = await new_pair()
    await send_over_budget(pair, b"x" * (KEPT_UNPAUSED + 1))
    assert not pair.transport.is_reading()
    assert len(await pair.exchange.read()) == KEPT_UNPAUSED + 1
    assert pair.transport.is_reading()
    pair.exchange.abort()
    pair.gateway.close()


@on_each_loop
async def test_reading_goes_on_afterwards() -> None:
    pair = await new_pair()
    pair.gateway.recv(1000)
    await send_over_budget(pair, b"Hello")
    assert await pair.exchange.read() == b"Hello"
    pair.gateway.sendall(b", world")
    assert await pair.exchange.read() == b", world"
    pair.gateway.close()
    assert await read_all(pair) == (b"", None)


@on_each_loop
async def test_a_pause_for_a_slow_client_outlasts_the_wait() -> None:
    pair = await new_pair()
    pair.gateway.recv(1000)
    await send_over_budget(pair, b"Hello")
    pair.exchange.pause()
    pair.gateway.sendall(b", world")
    for _ in range(5):
        await asyncio.sleep(0)
    assert pair.exchange.received == len(b"Hello")
    assert pair.is_unread()
    pair.exchange.resume()
    pair.gateway.close()
    assert await read_all(pair) == (b"Hello, world", None)


@on_each_loop
async def test_a_stream_that_always_has_more_does_not_delay_the_others() -> None:
    """Each read of the others waits for at most one read of the eager stream and of each other stream."""
    pairs = [await new_pair() for _ in range(8)]
    eager, *others = pairs
    piece = b"x" * (QUANTUM // 2)
    order: list[Pair] = []

    def take_from(pair: Pair) -> Callable[[bytes], bool]:
        def take(_: bytes) -> bool:
            order.append(pair)
            spend(turn_budget())  # each read takes a whole turn
            if pair is eager and len(order) < 100:
                eager.gateway.sendall(piece)
            return set(order) != set(pairs)

        return take

    readers = [asyncio.create_task(pair.exchange.push_to(b"".join, take_from(pair))) for pair in pairs]
    await asyncio.sleep(0)
    for pair in pairs:
        pair.gateway.sendall(piece)
    await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    assert order.count(eager) <= len(others)
    assert set(order) == set(pairs)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    for pair in pairs:
        pair.exchange.abort()
        pair.gateway.close()


@on_each_loop
async def test_a_large_read_is_handled_in_several_turns() -> None:
    pair = await new_pair()
    sent = bytes(range(256)) * (4 * LARGE_READ // 256)
    received: list[bytes] = []

    def work(chunks: list[bytes]) -> None:
        received.extend(chunks)
        time.sleep(LONGEST_TURN)

    pushing = asyncio.create_task(pair.exchange.push_to(work, lambda _: True))
    await asyncio.sleep(0)
    pair.connection.data_received(sent)
    assert 0 < pair.exchange.received < len(sent)
    for _ in range(10):
        await asyncio.sleep(0)
    assert b"".join(received) == sent
    pair.exchange.abort()
    with pytest.raises(UpstreamError):
        await pushing
    pair.gateway.close()


@on_each_loop
async def test_the_whole_of_a_large_read_comes_before_the_end() -> None:
    pair = await new_pair()
    sent = bytes(4 * LARGE_READ)

    def spend_all(chunks: list[bytes]) -> int:
        spend(turn_budget())
        return sum(map(len, chunks))

    taken: list[int] = []

    def take(size: int) -> bool:
        taken.append(size)
        return True

    pushing = asyncio.create_task(pair.exchange.push_to(spend_all, take))
    await asyncio.sleep(0)
    pair.connection.data_received(sent)
    assert sum(taken) < len(sent)
    pair.connection.connection_lost(None)
    assert sum(taken) == len(sent)
    assert await pushing is False
    pair.transport.abort()
    pair.gateway.close()


@on_each_loop
async def test_many_chunks_of_a_read_are_kept_apart_and_few_are_not() -> None:
    """Each of many is a frame, so a reader need not look for it; to join few costs less."""
    pair = await new_pair(head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    got: list[list[bytes]] = []
    pushing = asyncio.create_task(pair.exchange.push_to(lambda chunks: got.append(chunks.copy()), lambda _: True))
    await asyncio.sleep(0)
    for count in (MANY_CHUNKS, 2):
        pair.connection.data_received(b"7\r\nHello\n\n\r\n" * count)
    assert got == [[b"Hello\n\n"] * MANY_CHUNKS, [b"Hello\n\nHello\n\n"]]
    pair.connection.data_received(b"0\r\n\r\n")
    assert await pushing is False
    assert pair.exchange.received == 7 * (MANY_CHUNKS + 2)
    pair.gateway.close()
