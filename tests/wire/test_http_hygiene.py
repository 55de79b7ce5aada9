"""Shapes with which one request is made to look like two, or another one: refused or harmless, alone and behind nginx.

What counts is what the agent was asked to do: a request that was hidden in another one is never run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy import __version__
from tests.support.conformance import check_error_body, check_stream
from tests.support.processes import nginx, port_of
from tests.support.proxy import CHAT, Line, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, Reply, run, serving

QUESTION = chat_body("Hi", stream=False)
HIDDEN = chat_body("hidden", stream=False)
"""The body of a hidden request, which no server may take for a request."""

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
SECOND = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n" % len(QUESTION)
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


REFUSED = {
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END + SECOND,
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunk(SECOND) + END,
    "chunks and no chunks": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END + SECOND,
    "chunks twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + END + SECOND,
    "chunks, then another coding": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + END + SECOND,
    "chunks behind a vertical tab": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END + SECOND,
    "a space behind the name": HEAD + b"Transfer-Encoding : chunked\r\n\r\n" + END + SECOND,
    "a space in the name": HEAD + b"Content Length: 0\r\n\r\n" + SECOND,
    "a space in front of the name": HEAD + b" Content-Length: 0\r\n\r\n" + SECOND,
    "a tab in the name": HEAD + b"Content-Length\t: 0\r\n\r\n" + SECOND,
    "a name in other letters": HEAD + "Content-Lengtħ: 0\r\n\r\n".encode() + SECOND,
    "a length with a sign": HEAD + b"Content-Length: +0\r\n\r\n" + SECOND,
    "a length below nothing": HEAD + b"Content-Length: -1\r\n\r\n" + SECOND,
    "a length in base 16": HEAD + b"Content-Length: 0x10\r\n\r\n" + SECOND,
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n" + SECOND,
    "a length in two words": HEAD + b"Content-Length: 0 7\r\n\r\n" + SECOND,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 7\r\n\r\n" + SECOND,
    "a length beyond all numbers": HEAD + b"Content-Length: 18446744073709551616\r\n\r\n" + SECOND,
    "a chunk size with a sign": CHUNKED + b"+0\r\n\r\n" + SECOND,
    "a chunk size in C": CHUNKED + b"0x0\r\n\r\n" + SECOND,
    "a chunk size beyond all numbers": CHUNKED + b"10000000000000000\r\n" + SECOND,
    "a chunk size with an underscore": CHUNKED + b"0_0\r\n\r\n" + SECOND,
    "no chunk size": CHUNKED + b"\r\n\r\n" + SECOND,
    "a chunk that is longer than it says": CHUNKED + b"1\r\nxx" + END + SECOND,
    "a chunk size that ends with LF": CHUNKED + b"0\n\r\n" + SECOND,
    "a chunk that ends with LF": CHUNKED + b"1\r\n{\n" + END + SECOND,
    "an extension with LF in it": CHUNKED + b"0;a\nb\r\n\r\n" + SECOND,
    "lines that end with LF": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n" + SECOND,
    "a line that ends with LF": HEAD + b"X: y\nContent-Length: 0\r\n\r\n" + SECOND,
    "a line that ends with CR": HEAD + b"X: y\rContent-Length: 0\r\n\r\n" + SECOND,
    "a zero byte in a header": HEAD + b"X: y\0Content-Length: 0\r\n\r\n" + SECOND,
    "a header on two lines": HEAD + b"X: y\r\n Content-Length: 0\r\n\r\n" + SECOND,
    "two hosts": HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n" + SECOND,
    "no host": HEAD.replace(b"Host: localhost\r\n", b"") + b"Content-Length: 0\r\n\r\n" + SECOND,
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + END + SECOND,
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "HTTP/0.9": b"GET /v1/models\r\n\r\n" + SECOND,
    "HTTP/1.10": HEAD.replace(b"HTTP/1.1", b"HTTP/1.10") + b"Content-Length: 0\r\n\r\n" + SECOND,
    "a target with a space": b"GET /v1/models x HTTP/1.1\r\nHost: localhost\r\n\r\n" + SECOND,
    "an absurd URL": b"GET /v1/" + b"%2e" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" + SECOND,
}
"""One answer, 4xx, and the connection is closed: bytes after it are not read."""


def get(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", *(headers or ["Host: localhost"]), "", ""]).encode()


HARMLESS = {
    "dots": (get("/v1/../v1/models"), {404}),
    "dots in disguise": (get("/v1/%2e%2e/healthz"), {404}),
    "a file": (get("/../../../../etc/passwd"), {404}),
    "a file in disguise": (get("/v1/..%2f..%2f..%2fetc%2fpasswd"), {404}),
    "two slashes": (get("//evil.invalid/v1/models"), {404}),
    "somebody else's URL": (get("http://evil.invalid/v1/nothing"), {404}),
    "a URL of another kind": (get("file:///etc/passwd"), {400, 404}),
    "no path": (get("?"), {400, 404}),
    "everything": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
    "somebody else's host": (get("/healthz", "Host: evil.invalid"), {200}),
    "a host with a path": (get("/healthz", "Host: evil.invalid/../x"), {200, 400}),
    "a socket, please": (get("/v1/nothing", "Host: localhost", "Connection: upgrade", "Upgrade: websocket"), {404}),
    "HTTP/2, please": (
        get(
            "/v1/nothing",
            "Host: localhost",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAA",
        ),
        {404},
    ),
    "a tunnel": (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", {400, 404, 405}),
    "an expectation": (HEAD + b"Expect: the-unexpected\r\nContent-Length: 2\r\n\r\n{}", {417}),
    "the same length twice": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", {400}),
    "a chunk with an extension": (CHUNKED + b"2;a=b\r\n{}\r\n" + END, {400}),
    "a trailer": (CHUNKED + chunk(b"{}") + b"0\r\nContent-Length: 7\r\n\r\n", {400}),
    "empty lines in front": (b"\r\n\r\n" + get("/healthz"), {200}),
}
"""One answer of its own; the next request on the connection is the next request."""


CLOSED = 0
"""Instead of a status: there was no answer."""

LAST = b"GET /v1/the-last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def talk(line: Line, sent: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer to the sent bytes, with a last request right behind them."""
    received = b""
    with contextlib.suppress(ConnectionError):
        await line.send(sent + LAST)
        while piece := await line.read(65536):
            received += piece
    parts = re.split(rb"HTTP/1\.[01] (\d{3}) (?:.+\r\n)+\r\n", received)
    statuses, bodies = map(int, parts[1::2]), parts[2::2]
    return list(zip(statuses, bodies, strict=True)) or [(CLOSED, received)]


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
async def test_what_could_be_two_requests_is_none(proxy: StartProxy, agent: Agent, sent: bytes) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    answers = await talk(await front.dial(), sent)
    assert [400 <= status < 500 or status == 505 for status, _ in answers] == [True], answers
    assert agent.exchanges == []
    check_error_body(answers[0][1])
    assert (await front.get("/healthz")).status == 200


@pytest.mark.parametrize(("sent", "expected"), HARMLESS.values(), ids=HARMLESS)
async def test_what_is_odd_is_one_request(proxy: StartProxy, agent: Agent, sent: bytes, expected: set[int]) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    await line.send(sent)
    status, headers = await line.read_head()
    await line.read(int(headers["content-length"]))
    assert status in expected
    assert [status for status, _ in await talk(line, b"")] in ([404], [CLOSED])
    assert agent.exchanges == []


@pytest.fixture
async def behind(proxy: StartProxy, agent: Agent) -> AsyncIterator[Proxy]:
    """nginx in front of a proxy in front of an agent that answers; what one dials is nginx."""
    agent.plays(run("Hello"))
    front = await proxy()
    with nginx(front.port) as base:
        yield Proxy(front.app, front.config, port_of(base), front.client, front.lines)
        for line in front.lines:
            await line.close()


async def test_behind_nginx_there_is_no_request_that_nginx_does_not_know(behind: Proxy, agent: Agent) -> None:
    """nginx refuses some shapes itself and makes honest requests of others, so that what follows is one too.

    What it takes for one request the proxy must not take for two: every run has an answer that nginx passed on.
    """
    shapes = {**REFUSED, **{name: sent for name, (sent, _) in HARMLESS.items()}}
    wrong = {}
    for name, sent in shapes.items():
        before = len(agent.runs)
        answers = await talk(await behind.dial(), sent)
        answered = sum(b'"chat.completion"' in body for _, body in answers)
        if len(agent.runs) - before != answered or {status for status, _ in answers} & {500, 502, 504}:
            wrong[name] = answers, len(agent.runs) - before
    assert wrong == {}
    assert check_stream((await behind.chat()).body, include_usage=False).text == "Hello"


async def test_requests_sent_ahead_are_run_one_after_another(proxy: StartProxy, agent: Agent) -> None:
    """A client may send its next requests early, without an advantage."""
    gate = asyncio.Event()
    agent.plays(run("Hello")[:4], gate, run("Hello")[4:])
    line = await (await proxy()).dial()
    for number in range(40):
        await line.post(chat_body(str(number), stream=False))
    await agent.until(lambda: agent.runs)
    await asyncio.sleep(0.1)
    assert len(agent.runs) == 1
    gate.set()
    for _ in range(40):
        status, headers = await line.read_head()
        assert status == 200
        await line.read(int(headers["content-length"]))
    assert [each.prompt for each in agent.runs] == [str(number) for number in range(40)]


async def test_a_client_that_sends_ahead_and_leaves_has_started_one_run(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello")[:4], "stall")
    line = await (await proxy()).dial()
    for number in range(20):
        await line.post(chat_body(str(number)))
    await agent.until(lambda: agent.runs)
    await line.close()
    await agent.until(lambda: agent.closed_sessions)
    assert len(agent.runs) == 1


async def test_headers_for_one_hop_go_no_further(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    odd = ["Connection: x-secret, keep-alive", "X-Secret: s", "Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: p"]
    await line.post(QUESTION, headers=[*odd, "Authorization: Bearer client", "X-Forwarded-For: 1.2.3.4"])
    status, headers = await line.read_head()
    await line.read(int(headers["content-length"]))
    assert status == 200
    assert agent.runs[0].headers.keys() == {"host", "accept-encoding", "content-type", "content-length", "user-agent"}
    assert agent.runs[0].headers["user-agent"] == f"oaicompat-proxy/{__version__}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_gateway_cannot_send_us_elsewhere(proxy: StartProxy, agent: Agent, status: int) -> None:
    async with serving() as elsewhere:
        agent.replies("/send", Reply([], status, headers=(("Location", f"{elsewhere.url}/send"),), framing="length"))
        assert (await (await proxy()).chat()).status == 502
        assert elsewhere.connections == 0


async def test_what_a_client_names_is_not_fetched(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("A picture"))
    async with serving() as elsewhere:
        image = {"type": "image_url", "image_url": {"url": f"{elsewhere.url}/picture.png"}}
        words = {"type": "text", "text": "What is it?"}
        front = await proxy()
        received = await front.chat(stream=False, messages=[{"role": "user", "content": [words, image]}])
        assert received.status == 200
        assert elsewhere.connections == 0
