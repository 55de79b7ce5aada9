"""What never reaches the application: answered in OpenAI's words all the same, and no connection is left in doubt."""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib

import pytest

from tests.support.conformance import check_body, check_error_body
from tests.support.proxy import CHAT, Line, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, run, text

KEY = "sk-proj-0123456789abcdef"
HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()

NO_REQUESTS = {
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "no version": b"GET / ICY\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another HTTP": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path with a control character": b"GET /v1/\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path without end": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header without name": HEAD + b": x\r\n\r\n",
    "a header without colon": HEAD + KEY.encode() + b"\r\n\r\n",
    "a header on two lines": HEAD + b"X-A: 1\r\n 2\r\n\r\n",
    "a header without end": HEAD + b"X-A: " + KEY.encode() * 1000 + b"\r\n\r\n",
    "a key with a control character": b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    + KEY.encode()
    + b"\x01\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\n{}",
    "a length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


async def read_error(line: Line) -> tuple[int, dict[str, str], str]:
    """Status, headers and message of an error behind which the proxy closes."""
    status, headers = await line.read_head()
    body = await line.read_to_end()
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert headers["server"] == "oaicompat-proxy"
    error = check_error_body(body)
    assert error["type"] == "invalid_request_error"
    return status, headers, error["message"]


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS)
async def test_what_is_no_request_is_an_error_of_openais(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    front = await proxy()
    caplog.clear()  # a start may warn
    line = await front.dial()
    await line.send(sent)
    status, _, message = await read_error(line)
    assert status == (505 if sent.startswith(b"PRI") else 400)
    assert message.startswith("This server speaks HTTP/1.1" if status == 505 else "We could not read your request")
    assert KEY not in message
    assert KEY not in caplog.text
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert (await front.get("/healthz")).status == 200
    assert agent.exchanges == []


BROKEN = {
    "no gzip": ("gzip", chat_body()),
    "another method of compression": ("gzip", zlib.compress(chat_body())),
    "no deflate": ("deflate", b"\xff" * 20),
}


@pytest.mark.parametrize(("coding", "body"), BROKEN.values(), ids=BROKEN)
async def test_a_body_with_a_broken_coding_is_refused(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, coding: str, body: bytes
) -> None:
    """Its framing is valid; only its contents are wrong."""
    line = await (await proxy()).dial()
    for _ in range(2):
        await line.post(body, headers=[f"Content-Encoding: {coding}"])
        status, headers = await line.read_head()
        error = check_error_body(await line.read(int(headers["content-length"])))
        assert (status, headers.get("connection")) == (400, None)
        assert "not compressed as its header says" in error["message"]
    await line.close()
    assert "Traceback" not in caplog.text
    assert agent.exchanges == []


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "nonsense", "x" * 5000])
async def test_a_coding_that_nobody_knows_is_415(proxy: StartProxy, agent: Agent, coding: str) -> None:
    received = await (await proxy()).post(chat_body(), headers={"Content-Encoding": coding})
    assert received.status == 415
    assert check_error_body(received.body)["code"] == "unsupported_content_encoding"
    assert agent.exchanges == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * 1_000_000, []),
        (gzip.compress(b" " * 50_000_000), ["Content-Encoding: gzip"]),
    ],
    ids=["long", "long when unpacked"],
)
async def test_a_body_over_the_limit_closes_the_connection_and_says_so(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, body: bytes, headers: list[str]
) -> None:
    line = await (await proxy(max_body=10_000)).dial()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n".encode()
    await line.send(head + "".join(f"{each}\r\n" for each in headers).encode() + b"\r\n" + body)
    status, received = await line.read_head()
    assert (status, received["connection"]) == (413, "close")
    assert check_error_body(await line.read(int(received["content-length"])))["code"] == "request_too_large"
    assert "Traceback" not in caplog.text
    await line.close()


async def test_a_body_that_has_been_read_does_not_cost_the_connection(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    for body, path, expected in [
        (b"{", CHAT, 400),
        (chat_body(), "/v1/embeddings", 404),
        (chat_body(stream=False), CHAT, 200),
    ]:
        await line.post(body, path=path)
        status, headers = await line.read_head()
        received = await line.read(int(headers["content-length"]))
        assert (status, headers.get("connection")) == (expected, None)
    assert check_body(received).text == "Hello"


@pytest.mark.parametrize("size", [50_000, 300_000, 2_000_000])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_long_body_does_not_cost_the_connection(
    proxy: StartProxy, agent: Agent, size: int, stream: bool
) -> None:
    """Its last bytes are no head of a next request, however many they are: a long conversation keeps its connection."""
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    for _ in range(3):
        await line.post(chat_body("x" * size, stream=stream))
        status, headers = await line.read_head()
        assert status == 200
        assert headers.get("connection") != "close"
        if stream:
            assert (await line.read_chunks()).endswith(b"[DONE]\n\n")
        else:
            await line.read(int(headers["content-length"]))
    assert len(agent.runs) == 3


async def test_a_next_head_that_has_no_end_closes_the_connection(proxy: StartProxy, agent: Agent) -> None:
    """It comes while the first request is answered, which loses nothing."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    line = await (await proxy(max_head=8192)).dial()
    await line.post(chat_body("x" * 300_000))
    await agent.until(lambda: agent.runs)
    for _ in range(3):
        await line.send(b"GET /" + b"x" * 4000)
    gate.set()
    assert (await line.read_to_end()).count(b"[DONE]") == 1


async def test_a_request_that_comes_during_a_stream_is_served_after_it(proxy: StartProxy, agent: Agent) -> None:
    """The request comes whole or in part, on its own or in one packet with the request before it."""
    line = await (await proxy(first_event_wait=0.01)).dial()
    body = chat_body("Bye")
    follows = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    for cut in (1, 40, len(follows) - len(body), len(follows) - 5, len(follows)):
        for with_first in (True, False):
            gate = asyncio.Event()
            agent.plays(OPENING, text("Hello"), gate, closing())
            first = follows.replace(b"Bye", b"Sun")
            await line.send(first + follows[:cut] if with_first else first)
            streamed = (await line.read_until(b"Hello"))[-5:]
            if not with_first:
                await line.send(follows[:cut])
            gate.set()
            streamed += await line.read_until(b"[DONE]\n\n\r\n0\r\n\r\n")
            await line.send(follows[cut:])
            status, headers = await line.read_head()
            assert (status, headers.get("connection")) == (200, "keep-alive")
            assert (await line.read_chunks()).endswith(b"[DONE]\n\n")
    assert [b"Bye" in run.body for run in agent.runs] == [False, True] * 10
    await line.close()


async def test_a_fault_outside_the_application_is_a_500_without_its_reason(
    proxy: StartProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_request: object) -> None:
        raise RuntimeError("a detail for the log")

    monkeypatch.setattr("oaicompat_proxy.server.http.error_middleware.begin_context", broken)
    received = await (await proxy()).request("GET", "/healthz", headers={"Accept": "text/html"})
    assert (received.status, received.headers["Content-Type"]) == (500, "application/json")
    assert check_error_body(received.body)["type"] == "server_error"
    assert (received.headers["x-should-retry"], received.headers["Connection"]) == ("false", "close")
    assert b"detail" not in received.body
    assert "a detail for the log" in caplog.text
    assert received.headers["x-request-id"] in caplog.text


async def test_a_fault_behind_the_first_bytes_is_no_second_answer(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error can only break the answer off."""

    async def broken(*_given: object) -> None:
        raise RuntimeError("a detail for the log")

    monkeypatch.setattr("oaicompat_proxy.server.answering.event_stream.AnswerStream.fail", broken)
    agent.plays(run("Hello")[:-3])
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body())
    status, _ = await line.read_head()
    received = await line.read_to_end()
    assert (status, received.count(b"HTTP/1.1"), b"[DONE]" in received) == (200, 0, False)
    assert (await front.get("/healthz")).status == 200
