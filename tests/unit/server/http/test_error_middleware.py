from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, Received, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run


def checked(received: Received) -> dict[str, Any]:
    """The error of an answer that a client can read as one."""
    assert received.headers["Content-Type"].split(";")[0] == "application/json"
    return check_error_body(received.body)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v1/models/",
        "/v2/models",
        "/favicon.ico",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_address_is_not_found(proxy: StartProxy, method: str, path: str) -> None:
    received = await (await proxy()).request(method, path)
    error = checked(received)
    assert (received.status, error["type"]) == (404, "invalid_request_error")
    assert f"{method} {path}" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, {"POST"}),
        ("PUT", CHAT, {"POST"}),
        ("DELETE", CHAT, {"POST"}),
        ("PROPFIND", CHAT, {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("DELETE", "/v1/models/demo", {"GET", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_refused_and_the_right_ones_are_named(
    proxy: StartProxy, method: str, path: str, allowed: set[str]
) -> None:
    received = await (await proxy()).request(method, path)
    assert (received.status, checked(received)["type"]) == (405, "invalid_request_error")
    assert {each.strip() for each in received.headers["Allow"].split(",")} - {"OPTIONS"} == allowed


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"null", None),
        (b"[]", None),
        (b'"text"', None),
        (b"\xff\xfe", None),
        (b'{"messages": NaN}', None),
        (b"[" * 100_000, None),
        (b"{}", "messages"),
        (b'{"messages": "Hi"}', "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": ["Hi"]}', "messages[0]"),
        (b'{"messages": [{"content": "Hi"}]}', "messages[0].role"),
        (b'{"messages": [{"role": "user"}]}', "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "stream": "yes"}', "stream"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "n": 2}', "n"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "model": 5}', "model"),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else None,
)
async def test_a_body_that_is_no_request_is_refused_and_not_run(
    proxy: StartProxy, agent: Agent, body: bytes, param: str | None
) -> None:
    received = await (await proxy()).post(body)
    error = checked(received)
    assert (received.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert agent.exchanges == []


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_over_the_limit_is_refused(proxy: StartProxy, agent: Agent, chunked: bool) -> None:
    front = await proxy(max_body=1000)
    body = chat_body("x" * 2000)

    async def pieces() -> Any:
        yield body

    received = await front.request("POST", CHAT, data=pieces() if chunked else body)
    assert (received.status, checked(received)["type"]) == (413, "invalid_request_error")
    assert agent.exchanges == []


async def test_a_body_at_the_limit_is_taken(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    body = chat_body("x" * 2000)
    assert (await (await proxy(max_body=len(body))).post(body)).status == 200
    assert (await (await proxy(max_body=len(body) - 1)).post(body)).status == 413


async def test_an_expectation_is_met(proxy: StartProxy, agent: Agent) -> None:
    """curl asks like this before it sends a long body."""
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    body = chat_body(stream=False)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    await line.send(head.encode())
    await line.read_until(b"HTTP/1.1 100 Continue\r\n\r\n")
    await line.send(body)
    assert (await line.read_head())[0] == 200


async def test_an_expectation_that_nobody_can_meet_is_refused(proxy: StartProxy) -> None:
    line = await (await proxy()).dial()
    await line.post(chat_body(), headers=["Expect: a-miracle", "Connection: close"])
    assert (await line.read_head())[0] == 417


@pytest.mark.parametrize(
    "request_line",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=lambda value: repr(value[:20]),
)
async def test_what_is_no_http_is_refused_without_a_stack_trace(proxy: StartProxy, request_line: bytes) -> None:
    line = await (await proxy()).dial()
    await line.send(request_line)
    line.half_close()
    received = await line.read_to_end()
    assert received == b"" or received.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"Traceback" not in received


async def test_a_bug_of_the_proxy_is_in_the_log_and_not_in_the_answer(
    proxy: StartProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_request: object) -> object:
        raise RuntimeError("a detail for the log")

    monkeypatch.setattr("oaicompat_proxy.server.endpoints.models.list_models", broken)
    with caplog.at_level(logging.ERROR):
        received = await (await proxy()).get("/v1/models")
    assert (received.status, checked(received)["type"]) == (500, "server_error")
    assert received.headers["x-should-retry"] == "false"
    assert b"detail" not in received.body
    assert "a detail for the log" in caplog.text


async def test_an_error_does_not_cost_the_connection(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    for body, status in [(b"{", 400), (chat_body(stream=False), 200), (b"[]", 400)]:
        await line.post(body)
        received, headers = await line.read_head()
        assert received == status
        json.loads(await line.read(int(headers["content-length"])))
