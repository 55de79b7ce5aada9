"""The nginx configuration that we ship: a real nginx, before the real proxy or a server made for one question."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from yarl import URL

from oaicompat_proxy.config.settings import SETTINGS
from tests.support.processes import NGINX_FILES, free_port, nginx, nginx_program, port_of, proxy
from tests.support.scripted_backend import DEADLINE, Backend, Reply, Request, agree, break_off, error_of

SLOW_WORDS = 9
EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UNFRAMED_EVENT_STREAM = EVENT_STREAM.replace(b"Transfer-Encoding: chunked", b"Connection: close")


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    with proxy() as base:
        yield base


@pytest.fixture(scope="module")
def front(behind: str) -> Iterator[str]:
    with nginx(port_of(behind)) as base:
        yield base


# a server made for one question


@contextlib.asynccontextmanager
async def backend(reply: Reply, directory: Path | None = None) -> AsyncIterator[tuple[Backend, str]]:
    """The server, and the base URL of an nginx in front of it."""
    async with Backend(reply) as seen:
        with nginx(seen.port, directory) as base:
            yield seen, base


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def question(text: str, stream: bool = True) -> dict[str, Any]:
    return {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}


def default(setting: str) -> Any:
    return next(each.default for each in SETTINGS if each.name == setting)


# streams


@dataclass(slots=True)
class Streamed:
    text: str
    arrivals: list[float]
    """When each read that brought content came, in seconds since the request."""
    total: float
    last: str
    status: int
    headers: Any


async def stream(base: str, text: str) -> Streamed:
    arrivals, pending, events = [], b"", []
    began = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/v1/chat/completions", json=question(text)) as response,
    ):
        async for read in response.content.iter_any():
            pending += read
            *whole, pending = pending.split(b"\n\n")
            events += [event.decode() for event in whole]
            if b'"content":' in read:
                arrivals.append(time.monotonic() - began)
    total = time.monotonic() - began
    assert pending == b""
    lines = [event.removeprefix("data: ") for event in events if event.startswith("data: ")]
    deltas = [choice["delta"] for line in lines[:-1] for choice in json.loads(line)["choices"]]
    content = "".join(delta.get("content") or "" for delta in deltas)
    return Streamed(content, arrivals, total, lines[-1], response.status, response.headers)


async def test_a_slow_answer_arrives_word_by_word(front: str, behind: str) -> None:
    through, direct = await asyncio.gather(stream(front, "[[scenario:slow]]"), stream(behind, "[[scenario:slow]]"))
    assert through.status == 200
    assert through.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert through.text == direct.text
    assert len(through.text.split()) == SLOW_WORDS
    assert through.last == direct.last == "[DONE]"
    assert len(through.arrivals) >= SLOW_WORDS - 1  # the machine may be asleep for a second
    assert through.arrivals[-1] - through.arrivals[0] > through.total / 2


@pytest.mark.parametrize("framing", ["chunked", "until the end"])
async def test_each_event_is_passed_on_before_the_next_one_exists(framing: str) -> None:
    """Without X-Accel-Buffering, and towards a client that takes gzip: nothing but the configuration asks for it."""
    received = asyncio.Semaphore(0)

    async def reply(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frame = chunked if framing == "chunked" else bytes
        writer.write(EVENT_STREAM if framing == "chunked" else UNFRAMED_EVENT_STREAM)
        for number in range(5):
            writer.write(frame(b"data: %d\n\n" % number))
            await received.acquire()
        writer.write(frame(b""))
        writer.close()

    async with asyncio.timeout(DEADLINE), backend(reply) as (_, base), aiohttp.ClientSession() as session:
        gzip = {"Accept-Encoding": "gzip"}
        async with session.post(f"{base}/v1/chat/completions", json={}, headers=gzip) as response:
            assert "Content-Encoding" not in response.headers
            for number in range(5):
                assert await response.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
                received.release()
            assert await response.content.read() == b""


async def test_a_response_arrives_word_by_word(front: str) -> None:
    body = {"model": "demo", "stream": True, "input": "[[scenario:slow]]"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{front}/v1/responses", json=body) as response,
    ):
        began = time.monotonic()
        reads = response.content.iter_any()
        arrivals = [time.monotonic() - began async for read in reads if b"response.output_text.delta" in read]
    assert len(arrivals) >= SLOW_WORDS - 1  # the machine may be asleep for a second
    assert arrivals[-1] - arrivals[0] > (time.monotonic() - began) / 2


def test_the_routes_of_a_response_are_passed_on(front: str) -> None:
    with openai.OpenAI(base_url=f"{front}/v1", api_key="any", max_retries=0) as client:
        answer_id = client.responses.create(model="demo", input="Hi").id
        client.responses.delete(answer_id)
        for ask in (client.responses.retrieve, client.responses.cancel, client.responses.input_items.list):
            with pytest.raises(openai.NotFoundError, match=f"Response with id '{answer_id}' not found."):
                ask(answer_id)


def test_an_input_as_large_as_the_proxy_takes_is_passed_on(front: str) -> None:
    limit = default("max_body")
    for size, status in ((limit, 400), (limit + 1, 413)):
        request = urllib.request.Request(f"{front}/v1/responses", b" " * size, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=DEADLINE)
        with refused.value as received:
            assert received.status == status
            error_of(received.read())


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
def test_the_official_client_is_answered(front: str, streaming: bool) -> None:
    messages: Any = [{"role": "user", "content": "add 19 and 23"}]
    with openai.OpenAI(base_url=f"{front}/v1", api_key="any", max_retries=0) as client:
        if streaming:
            chunks = list(client.chat.completions.create(model="demo", messages=messages, stream=True))
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        else:
            choice = client.chat.completions.create(model="demo", messages=messages).choices[0]
            text, ends = choice.message.content or "", [choice.finish_reason]
    assert "42" in text
    assert ends == ["stop"]


async def test_the_proxys_own_errors_pass_untouched(front: str, behind: str) -> None:
    async def ask(base: str) -> tuple[int, bytes]:
        url = f"{base}/v1/chat/completions"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=question("[[scenario:fail_start]]")) as it,
        ):
            return it.status, await it.read()

    status, body = await ask(front)
    assert (status, body) == await ask(behind)
    assert status == 502
    assert error_of(body)["code"] == "agent_unauthorized"


@pytest.mark.parametrize("begun", [True, False], ids=["in the middle", "before the first byte"])
async def test_a_client_that_leaves_closes_the_connection_to_the_proxy(begun: bool) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def reply(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if begun:
            writer.write(EVENT_STREAM + chunked(b"data: 0\n\n"))
        asked.set()
        assert await reader.read() == b""
        closed.set()

    async with asyncio.timeout(DEADLINE), backend(reply) as (_, base):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(base))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        await asked.wait()
        if begun:
            await reader.readuntil(b"data: 0\n\n")
        assert not closed.is_set()
        writer.close()
        await writer.wait_closed()
        await closed.wait()


# nginx's own errors


def test_a_stopped_proxy_is_a_retryable_openai_error() -> None:
    with contextlib.ExitStack() as stopping, contextlib.ExitStack() as running:
        base = running.enter_context(nginx(port_of(stopping.enter_context(proxy()))))
        client = running.enter_context(openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0))
        assert client.models.list().data
        stopping.close()
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**question("Hello"))
    response = caught.value.response
    assert response.status_code == 502
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["x-should-retry"] == "true"
    assert re.fullmatch(r"[0-9a-f]{32}", caught.value.request_id or "")
    assert error_of(response.text)["code"] == caught.value.code == "proxy_unreachable"


async def test_a_request_that_was_sent_and_not_answered_is_never_sent_again() -> None:
    async def reply(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (break_off if request.body == b"break" else agree)(request, reader, writer)

    async with backend(reply) as (seen, base), aiohttp.ClientSession() as session:
        url = f"{base}/v1/chat/completions"
        for data in (b"fine", b"break", b"break"):  # over a used connection, then over a fresh one
            async with session.post(url, data=data) as response:
                body = await response.read()
                assert response.status == (200 if data == b"fine" else 502)
        assert response.headers["X-Should-Retry"] == "false"
        assert error_of(body)["type"] == "server_error"
        assert [request.body for request in seen.requests] == [b"fine", b"break", b"break"]


def test_a_proxy_without_connections_is_an_openai_error_soon() -> None:
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # fills the queue that nobody empties
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        base = stack.enter_context(nginx(deaf.getsockname()[1]))
        status, headers, body = ask_raw(base, "POST", "/v1/chat/completions", b"{}")
    assert status == 504
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Should-Retry"] == "true"
    assert error_of(body)["code"] == "proxy_timeout"


async def test_nginx_takes_what_the_proxy_takes() -> None:
    most = default("max_body")
    async with backend(agree) as (seen, base), aiohttp.ClientSession() as session:
        url = f"{base}/v1/chat/completions"
        async with session.post(url, data=io.BytesIO(bytes(most))) as response:
            assert response.status == 200
        async with session.post(url, data=io.BytesIO(bytes(most + 1))) as response:
            assert response.status == 413
            assert response.content_type == "application/json"
            assert error_of(await response.read())["code"] == "request_too_large"
        assert [len(request.body) for request in seen.requests] == [most]


async def test_a_body_of_unknown_length_has_the_same_limit(front: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(default("max_body") // 2**20 + 1):
            yield bytes(2**20)

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{front}/v1/chat/completions", data=endless()) as response,
    ):
        assert response.status == 413
        assert error_of(await response.read())["type"] == "invalid_request_error"


def test_the_official_client_understands_that_its_body_is_too_large(front: str) -> None:
    with (
        openai.OpenAI(base_url=f"{front}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**question("x" * default("max_body")))
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"


def test_anthropics_client_gets_nginxs_own_errors_in_its_words(front: str) -> None:
    with nginx(free_port()) as base:  # before a proxy that does not run
        unreachable = ask_anthropic(base, "Hello")
    assert (unreachable.status_code, unreachable.type) == (502, "api_error")
    assert unreachable.response.headers["x-should-retry"] == "true"
    too_large = ask_anthropic(front, "x" * default("max_body"))
    assert (too_large.status_code, too_large.type) == (413, "request_too_large")
    for error in (unreachable, too_large):
        assert isinstance(error.body, dict)
        assert error.body["request_id"] == error.request_id == error.response.headers["x-request-id"]


GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
UNREADABLE = {
    "a long header": (400, GET + b"Authorization: Bearer " + b"x" * 20_000 + b"\r\n\r\n"),
    "two keys": (400, GET + b"Authorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n"),
    "a path that is none": (400, GET.replace(b"models", b"%00") + b"\r\n"),
    "a long path": (414, GET.replace(b"models", b"x" * 20_000) + b"\r\n"),
    "another coding": (501, GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "another version": (505, GET.replace(b"1.1", b"2.0") + b"\r\n"),
}


@pytest.mark.parametrize(("status", "sent"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_nginx_refuses_gets_an_error_of_the_api(front: str, status: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front))
    writer.write(sent)
    async with asyncio.timeout(DEADLINE):
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nX-Request-Id: " in answer
    assert error_of(body)["type"] == "invalid_request_error"


async def test_a_failure_of_nginx_is_an_error_of_the_api(behind: str) -> None:
    body = io.BytesIO(json.dumps(question("x" * 2 * 1024 * 1024)).encode())  # more than stays in memory
    with tempfile.TemporaryDirectory(prefix="nginx-") as home, nginx(port_of(behind), Path(home)) as base:
        shutil.rmtree(Path(home, "temp-body"))
        async with aiohttp.ClientSession() as session, session.post(f"{base}/v1/chat/completions", data=body) as answer:
            assert (answer.status, answer.headers["X-Should-Retry"]) == (500, "true")
            assert error_of(await answer.read())["code"] == "internal_error"


def ask_anthropic(base: str, prompt: str) -> anthropic.APIStatusError:
    """The error of a question."""
    with (
        anthropic.Anthropic(base_url=base, api_key="any", max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(model="demo", max_tokens=100, messages=[{"role": "user", "content": prompt}])
    return caught.value


# what the proxy sees


async def test_requests_share_one_connection_to_the_proxy() -> None:
    async with backend(agree) as (seen, base), aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.post(f"{base}/v1/chat/completions", json={}) as response:
                assert response.status == 200
        assert len(seen.requests) == 3
        assert len(seen.connections) == 1  # a client's connection stays with one worker of nginx


async def test_the_proxy_learns_who_asked_and_by_which_name() -> None:
    async with backend(agree) as (seen, base), aiohttp.ClientSession() as session:
        headers = {"Host": "api.example.com:8443", "Authorization": "Bearer k", "X-Forwarded-For": "192.0.2.1"}
        async with session.post(URL(f"{base}/v1/%78?a=b%20c", encoded=True), headers=headers) as response:
            assert response.status == 200
        request = seen.requests[0]
    assert request.head.startswith("POST /v1/%78?a=b%20c HTTP/1.1\r\n")
    assert request.header("Host") == "api.example.com:8443"
    assert request.header("Authorization") == "Bearer k"
    assert request.header("X-Forwarded-For") == "192.0.2.1, 127.0.0.1"
    assert request.header("X-Forwarded-Proto") == "http"
    assert request.header("Connection") is None


async def test_no_client_names_the_user_by_a_header() -> None:
    names = [
        "X-User",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "x-auth-request-user",
        "Remote-User",
        "X-OpenWebUI-User-Id",
    ]
    async with backend(agree) as (seen, base), aiohttp.ClientSession() as session:
        async with session.post(
            f"{base}/v1/chat/completions", json={}, headers=dict.fromkeys(names, "ada")
        ) as response:
            assert response.status == 200
        assert [seen.requests[0].header(name) for name in names] == [None] * len(names)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("req_12:34.5-a", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ('quote"', False),
        (None, False),
    ],
)
async def test_a_request_id_is_kept_if_it_is_harmless_and_made_otherwise(given: str | None, kept: bool) -> None:
    headers = {"X-Request-Id": given} if given else {}
    async with (
        backend(agree) as (seen, base),
        aiohttp.ClientSession() as session,
        session.get(f"{base}/v1/models", headers=headers),
    ):
        name = seen.requests[0].header("X-Request-Id")
    assert name == given if kept else re.fullmatch(r"[0-9a-f]{32}", name or "")


# operating


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "//readyz", "/%72eadyz", "/metric%73"])
def test_health_is_for_this_machine_only(front: str, path: str) -> None:
    assert ask_raw(front, "GET", path, source="127.0.0.2")[0] == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_this_machine_may_ask_for_health(front: str, path: str) -> None:
    assert ask_raw(front, "GET", path)[0] == 200


async def test_the_log_knows_the_answer_and_neither_query_nor_body() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to nginx's user
        directory = Path(name)
        async with backend(agree, directory) as (_, base), aiohttp.ClientSession() as session:
            url = f"{base}/v1/chat/completions?key=hidden-query"
            headers = {"X-Request-Id": "req-7", "Authorization": "Bearer hidden-key"}
            async with session.post(url, data=b"hidden-body", headers=headers) as response:
                assert response.status == 200
        written = (directory / "access.log").read_text()
    assert "hidden" not in written
    entry = json.loads(written)
    known = {"request_id": "req-7", "path": "/v1/chat/completions", "status": "200", "whole": "OK"}
    assert {key: entry[key] for key in known} == known


def test_the_part_to_copy_fits_into_another_configuration(tmp_path: Path) -> None:
    shutil.copytree(NGINX_FILES / "oaicompat", tmp_path / "oaicompat")
    includes = re.findall(r"include oaicompat/\S+;", (NGINX_FILES / "nginx.conf").read_text())
    assert len(includes) == 3
    conf = tmp_path / "nginx.conf"
    paths = "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"pid pid; events {{}} http {{ gzip on; sendfile on; {paths} {' '.join(includes)} }}")
    command = [nginx_program(), "-e", "stderr", "-t", "-q", "-p", f"{tmp_path}/", "-c", str(conf)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def ask_raw(
    base: str, method: str, path: str, body: bytes | None = None, source: str = "127.0.0.1"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request with the path as it is, from any address of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(base), DEADLINE, (source, 0))
    with contextlib.closing(connection):
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
