"""Requests that are refused before the application: with a normal response over HTTP/1.1 and a normal log line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from oaicompat_proxy.config.settings import Config
from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, Line, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

BODY = chat_body(stream=False)
POST = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n".encode()
SIZED = POST + b"Content-Length: %d\r\n" % len(BODY)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
TOO_LONG = str(Config(demo=True).max_body + 1).encode()

CASES: dict[str, tuple[bytes, int, str]] = {
    "version 2": (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, "GET /healthz"),
    "version 2, as its preface says it": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "PRI *"),
    "version 1.2": (b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n", 505, "GET /healthz"),
    "version 0.9": (b"GET /healthz HTTP/0.9\r\nHost: localhost\r\n\r\n", 400, "GET /healthz"),
    "no version": (b"GET /healthz\r\n\r\n", 400, "GET /healthz"),
    "a version that is none": (b"GET /healthz HTTP/1.10\r\nHost: localhost\r\n\r\n", 400, "GET /healthz"),
    "another protocol": (b"GET /healthz ICY\r\n\r\n", 400, "GET /healthz"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "- -"),
    "the rest of a body": (b"my secret words are here\r\n\r\n", 400, "- -"),
    "the rest of a body with a key": (b"sk-1234 /sk-5678 sk-9\r\n\r\n", 400, "- -"),
    "an unknown method": (b"BREW /healthz?key=secret HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "BREW /healthz"),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "GET /healthz"),
    "a path that may be a key": (b"GET /sk-1234 HTTP/9.9\r\nHost: localhost\r\n\r\n", 505, "GET -"),
    "a control character": (b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "GET -"),
    "a long first line": (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 400, "GET -"),
    "a long header": (GET + b"X: " + b"x" * 20_000 + b"\r\n\r\n", 400, "GET /healthz"),
    "many headers": (GET + b"X: x\r\n" * 1000 + b"\r\n", 400, "GET /healthz"),
    "no header": (GET + b"x\r\n\r\n", 400, "GET /healthz"),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, f"POST {CHAT}"),
    "a length and chunks": (SIZED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, f"POST {CHAT}"),
    "a length and a coding": (SIZED + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, 400, f"POST {CHAT}"),
    "a length beyond all numbers": (POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 413, f"POST {CHAT}"),
    "no chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, f"POST {CHAT}"),
    "a chunk that is too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{xx", 400, f"POST {CHAT}"),
    "a coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, 501, f"POST {CHAT}"),
    "a coding, then chunks": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, f"POST {CHAT}"),
    "a coding, then chunks, in two": (
        POST + b"Transfer-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
        f"POST {CHAT}",
    ),
    "chunks twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, f"POST {CHAT}"),
    "chunks, then a coding": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, f"POST {CHAT}"),
    "empty lines in front": (b"\r\n\r\nGET /healthz ICY\r\n\r\n", 400, "GET /healthz"),
}
"""The sent bytes, the status, and the method and path in the log."""


async def answer_to(front: Proxy, *pieces: bytes) -> tuple[str, int, dict[str, str], bytes]:
    line = await front.dial()
    for piece in pieces:
        await line.send(piece)
    return await read_answer(line)


async def read_answer(line: Line) -> tuple[str, int, dict[str, str], bytes]:
    """Version, status, headers and body; the connection is closed behind them."""
    head, _, body = (await line.read_to_end()).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    version, status, _ = first.split(" ", 2)
    return version, int(status), {n.lower(): v for n, v in (field.split(": ", 1) for field in fields)}, body


def lines_of(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    yield from (each.getMessage() for each in caplog.records if each.levelno >= logging.INFO)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status", "logged"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in pieces"])
async def test_it_is_a_normal_answer_with_a_normal_line(
    proxy: StartProxy,
    agent: Agent,
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    status: int,
    logged: str,
    whole: bool,
) -> None:
    caplog.set_level(logging.INFO)
    front = await proxy()
    caplog.clear()
    pieces = [sent] if whole else [sent[:9], sent[9:20], sent[20:]]
    version, found, headers, body = await answer_to(front, *pieces)
    assert (version, found) == ("HTTP/1.1", status)
    assert headers["connection"] == "close"
    assert headers["content-length"] == str(len(body))
    assert headers["x-request-id"].startswith("req_")
    assert check_error_body(body)["type"] == "invalid_request_error"
    if status > 500:
        assert headers["x-should-retry"] == "false"
    (line,) = lines_of(caplog)
    form = rf"req_\w+ 127\.0\.0\.1 - {re.escape(logged)} {status} \d+ \d\.\d{{3}}"
    assert re.fullmatch(form, line), line
    assert agent.exchanges == []


async def test_the_error_is_of_the_broken_request_not_of_the_one_before(
    proxy: StartProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    line = await (await proxy()).dial()
    caplog.clear()
    await line.send(b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    _, headers = await line.read_head()
    await line.read(int(headers["content-length"]))
    await line.send(b"BREW /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await read_answer(line))[1] == 400
    assert [entry.split(" ")[3:6] for entry in lines_of(caplog)] == [
        ["GET", "/v1/*", "404"],
        ["BREW", "/v1/models", "400"],
    ]


@pytest.mark.parametrize(
    "codings",
    [("zstd",), ("br",), ("gzip, gzip",), ("gzip", "deflate"), ("identity, br",), ("x",), ("gzip, identity, br",)],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
async def test_the_error_of_an_unknown_coding_lists_the_known_ones(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, codings: tuple[str, ...], path: str
) -> None:
    caplog.set_level(logging.INFO)
    line = await (await proxy()).dial()
    caplog.clear()
    for _ in range(2):
        await line.post(BODY, path=path, headers=[f"Content-Encoding: {coding}" for coding in codings])
        status, headers = await line.read_head()
        body = await line.read(int(headers["content-length"]))
        assert (status, headers["accept-encoding"]) == (415, "gzip, deflate")
        assert check_error_body(body)["code"] == "unsupported_content_encoding"
    assert [("status=415" in entry, "outcome=refused" in entry) for entry in lines_of(caplog)] == [(True, True)] * 2
    assert agent.exchanges == []


@pytest.mark.parametrize("codings", [("identity",), ("",), ("IDENTITY, identity",), ("identity", "")])
async def test_no_coding_is_none(proxy: StartProxy, agent: Agent, codings: tuple[str, ...]) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    await line.post(BODY, headers=[f"Content-Encoding: {coding}" for coding in codings])
    assert (await line.read_head())[0] == 200


@pytest.mark.parametrize("name", ["chunked", "Chunked", " chunked "])
async def test_chunks_are_taken_in_any_letters(proxy: StartProxy, agent: Agent, name: str) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    await line.send(POST + f"Transfer-Encoding:{name}\r\n\r\n".encode() + chunk)
    assert (await line.read_head())[0] == 200


async def test_a_length_above_the_limit_is_refused_at_once(proxy: StartProxy, agent: Agent) -> None:
    """The server does not wait for the body, and sends no 100 Continue."""
    front = await proxy()
    for expectation in (b"", b"Expect: 100-continue\r\n"):
        line = await front.dial()
        await line.send(POST + b"Content-Length: " + TOO_LONG + b"\r\n" + expectation + b"\r\n")
        status, headers = await line.read_head()
        assert (status, headers["connection"]) == (413, "close")
        assert check_error_body(await line.read(int(headers["content-length"])))["code"] == "request_too_large"
    assert agent.exchanges == []


async def test_a_client_that_expects_100_continue_gets_it(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    await line.send(SIZED + b"Expect: 100-continue\r\n\r\n")
    assert (await line.read_head())[0] == 100
    await line.send(BODY)
    assert (await line.read_head())[0] == 200
