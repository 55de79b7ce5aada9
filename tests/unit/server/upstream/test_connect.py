"""Connecting, until it succeeds or its time is over. The clock jumps, so that pauses cost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import Iterator

import pytest
from aiohappyeyeballs import AddrInfoType

from oaicompat_proxy.core.errors import UpstreamConnectTimeout, UpstreamUnreachable
from oaicompat_proxy.server.upstream import connect
from oaicompat_proxy.server.upstream.connect import connect_with_retries
from tests.support.fake_clock import with_fake_clock
from tests.support.processes import free_port
from tests.support.proxy import StartProxy
from tests.support.raw_gateway import Gateway, on_every_loop
from tests.support.scripted_gateway import run, serving

REFUSED = ConnectionRefusedError("refused")
NO_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")


class Endpoint:
    """Refuses a given number of connections, and records their times."""

    def __init__(self, *refusals: Exception) -> None:
        self._refusals = list(refusals)
        self.times: list[float] = []

    async def connect(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        if self._refusals:
            raise self._refusals.pop(0)
        return "connected"

    @property
    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


@with_fake_clock
async def test_who_is_there_is_reached_at_once() -> None:
    endpoint = Endpoint()
    assert await connect_with_retries(endpoint.connect, within=5, retries=4) == "connected"
    assert endpoint.times == [0]


@pytest.mark.parametrize("refusal", [REFUSED, NO_NAME, ConnectionResetError(), OSError("no route")], ids=repr)
@with_fake_clock
async def test_who_is_away_for_a_moment_is_reached_later(refusal: Exception) -> None:
    endpoint = Endpoint(*[refusal] * 4)
    assert await connect_with_retries(endpoint.connect, within=5, retries=4) == "connected"
    assert len(endpoint.pauses) == 4
    for number, pause in enumerate(endpoint.pauses):
        least = connect.FIRST_PAUSE * 2**number
        assert least <= pause <= least + connect.JITTER + 0.01


@pytest.mark.parametrize("retries", [0, 1, 4])
@with_fake_clock
async def test_attempts_are_counted(retries: int) -> None:
    endpoint = Endpoint(*[REFUSED] * 99)
    with pytest.raises(UpstreamUnreachable) as raised:
        await connect_with_retries(endpoint.connect, within=60, retries=retries)
    assert raised.value.__cause__ is REFUSED
    assert len(endpoint.times) == 1 + retries


@pytest.mark.parametrize("refusals", [0, 3])
@with_fake_clock
async def test_a_connection_leaves_no_cyclic_garbage(refusals: int) -> None:
    """The garbage collector stops all requests."""
    endpoint = Endpoint(*[ConnectionRefusedError() for _ in range(refusals)])
    gc.collect()
    gc.disable()
    try:
        await connect_with_retries(endpoint.connect, within=5, retries=4)
        assert gc.collect() == 0
    finally:
        gc.enable()


@with_fake_clock
async def test_all_attempts_share_one_time() -> None:
    endpoint = Endpoint(*[REFUSED] * 99)
    with pytest.raises(UpstreamConnectTimeout):
        await connect_with_retries(endpoint.connect, within=1, retries=99)
    assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.01)
    assert len(endpoint.times) in (3, 4)


@pytest.mark.parametrize("error", [ssl.SSLCertVerificationError("expired"), TimeoutError("the system's own")], ids=repr)
@with_fake_clock
async def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    endpoint = Endpoint(error)
    with pytest.raises((UpstreamUnreachable, UpstreamConnectTimeout)):
        await connect_with_retries(endpoint.connect, within=5, retries=4)
    assert len(endpoint.times) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ssl.SSLCertVerificationError("expired"), "certificate"),
        (ssl.SSLError("wrong version number"), "handshake"),
        (REFUSED, "is it running?"),
    ],
    ids=repr,
)
@with_fake_clock
async def test_an_error_of_tls_does_not_say_that_the_gateway_is_down(error: Exception, says: str) -> None:
    with pytest.raises(UpstreamUnreachable, match=says):
        await connect_with_retries(Endpoint(error).connect, within=5, retries=0)


@with_fake_clock
async def test_a_fault_of_our_own_is_not_taken_for_the_gateways() -> None:
    with pytest.raises(ZeroDivisionError):
        await connect_with_retries(Endpoint(ZeroDivisionError()).connect, within=5, retries=4)


@with_fake_clock
async def test_who_is_cancelled_does_not_go_on() -> None:
    endpoint = Endpoint(*[REFUSED] * 99)
    connecting = asyncio.create_task(connect_with_retries(endpoint.connect, within=60, retries=99))
    await asyncio.sleep(0.05)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await asyncio.sleep(30)
    assert len(endpoint.times) == 1


@on_every_loop
async def test_a_gateway_that_comes_back_is_sent_the_run_once(gateway: Gateway) -> None:
    port = free_port()
    client = gateway.client(f"http://127.0.0.1:{port}", connect_retries=9)
    sending = asyncio.create_task(client.request("POST", "/send", b"once", retry=True, wait=False))
    await asyncio.sleep(0.15)
    server = await asyncio.get_running_loop().create_server(gateway.new_peer, "127.0.0.1", port)
    try:
        peer = await gateway.peer()
        assert (await peer.request()).endswith(b"once")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await (await sending).head()
        assert len(gateway.peers) == 1
    finally:
        server.close()


@on_every_loop
async def test_what_is_no_run_is_not_waited_for(gateway: Gateway) -> None:
    """Whether the gateway is there, for example, is asked to be known at once."""
    client = gateway.client(f"http://127.0.0.1:{free_port()}", connect_retries=9)
    async with asyncio.timeout(2):
        with pytest.raises(UpstreamUnreachable):
            await client.request("GET", "/apps")


@pytest.fixture
def silent_address() -> Iterator[AddrInfoType]:
    """An address that answers no connect: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield tcp_address(listener.getsockname()[1])


def tcp_address(port: int) -> AddrInfoType:
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)


@on_every_loop
async def test_an_address_that_does_not_answer_hides_no_other(
    gateway: Gateway, silent_address: AddrInfoType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name often has an IPv6 and an IPv4 address, and only one of them leads to the gateway."""
    server = await asyncio.get_running_loop().create_server(gateway.new_peer, "127.0.0.1", 0)
    answering = tcp_address(server.sockets[0].getsockname()[1])

    async def both_addresses(host: str, port: int) -> list[AddrInfoType]:
        assert host == "gateway.test"
        return [silent_address, answering]

    monkeypatch.setattr(connect, "resolve", both_addresses)
    client = gateway.client("http://gateway.test", connect_retries=0)
    try:
        sending = asyncio.create_task(client.request("POST", "/send", b"once", retry=True, wait=False))
        peer = await gateway.peer()
        request = await peer.request()
        assert b"\r\nHost: gateway.test\r\n" in request
        assert request.endswith(b"once")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await (await sending).head()
    finally:
        server.close()


@on_every_loop
async def test_when_each_address_of_a_name_refuses_it_is_refused(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two_addresses(host: str, port: int) -> list[AddrInfoType]:
        return [tcp_address(free_port()), tcp_address(free_port())]

    monkeypatch.setattr(connect, "resolve", two_addresses)
    client = gateway.client("http://gateway.test", connect_retries=0)
    with pytest.raises(UpstreamUnreachable) as raised:
        await client.request("GET", "/apps")
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    assert raised.value.__cause__.strerror == "Connection refused"


async def test_a_client_does_not_notice_that_the_gateway_restarts(proxy: StartProxy) -> None:
    """The gateway's port is closed when the request comes, and listens a moment later."""
    port = free_port()
    front = await proxy(upstream=f"http://127.0.0.1:{port}", connect_retries=9)
    chat = asyncio.create_task(front.chat())
    await asyncio.sleep(0.15)
    async with serving(port) as late:
        late.plays(run("Hello"))
        assert (await chat).status == 200
        await late.until(lambda: not late.left_behind)
        assert len(late.runs) == 1
