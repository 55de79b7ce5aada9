"""nginx with other parts than the default ones: several replicas, TLS, limits. A real nginx each time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from oaicompat_proxy.config.settings import Config
from tests.support.processes import (
    LISTEN,
    NGINX_FILES,
    UPSTREAM,
    nginx_listening,
    nginx_program,
    port_of,
    proxy,
    write_nginx_files,
)
from tests.support.scripted_backend import DEADLINE, Backend, Request, agree, break_off, error_of

REPLICAS = {"include oaicompat/upstream-one.conf;": "include oaicompat/upstream-replicas.conf;"}
TLS = {"include oaicompat/server-plain.conf;": "include oaicompat/server-tls.conf;"}
LISTEN_TLS = "listen 443 ssl http2;"
REPLICA_LINES = ("server 127.0.0.1:8701 ", "server 127.0.0.1:8702 ")
EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """`x.crt` and `x.key` for this machine, signed by itself. Not in pytest's own folder, which nginx cannot enter."""
    with tempfile.TemporaryDirectory(prefix="certificate-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        openssl = shutil.which("openssl")
        assert openssl, "openssl is not installed, and makes the certificate: apt-get install openssl"
        command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
        more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "x.key", "-out", "x.crt"]
        subprocess.run([*command.split(), *more], cwd=directory, check=True, capture_output=True)
        (directory / "x.key").chmod(0o644)
        yield directory


def tls_edits(port: int, certificate: Path) -> dict[str, str]:
    return {
        LISTEN_TLS: f"listen 127.0.0.1:{port} ssl http2;",
        "/etc/nginx/oaicompat.crt": str(certificate / "x.crt"),
        "/etc/nginx/oaicompat.key": str(certificate / "x.key"),
        **TLS,
    }


def replica_edits(*ports: int) -> dict[str, str]:
    return {line: f"server 127.0.0.1:{port} " for line, port in zip(REPLICA_LINES, ports, strict=True)} | REPLICAS


def plain(more: Mapping[str, str]) -> Callable[[int], dict[str, str]]:
    return lambda port: {LISTEN: f"listen 127.0.0.1:{port};", **more}


@pytest.mark.parametrize("upstream", ["one", "replicas"])
@pytest.mark.parametrize("server", ["plain", "tls"])
def test_all_parts_fit_together(upstream: str, server: str, certificate: Path, tmp_path: Path) -> None:
    edits = {
        **(REPLICAS if upstream == "replicas" else {}),
        **(tls_edits(8443, certificate) if server == "tls" else {}),
    }
    conf = write_nginx_files(tmp_path, edits)
    command = [nginx_program(), "-e", "stderr", "-t", "-q", "-p", f"{tmp_path}/", "-c", str(conf)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_both_kinds_of_server_pass_on_in_the_same_way() -> None:
    for name in ("server-plain.conf", "server-tls.conf"):
        text = (NGINX_FILES / "oaicompat" / name).read_text()
        assert text.count("include oaicompat/proxy.conf;") == 1
        assert "proxy_" not in text.replace("oaicompat/proxy.conf", "")


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("run_timeout", "proxy_read_timeout"),
        ("send_timeout", "send_timeout"),
        ("body_timeout", "client_body_timeout"),
    ],
)
def test_nginx_waits_as_long_as_the_proxy_does(setting: str, word: str) -> None:
    found = re.search(rf"^{word} (\d+)s;", (NGINX_FILES / "oaicompat" / "proxy.conf").read_text(), re.M)
    assert found
    assert float(found[1]) == getattr(Config(demo=True), setting)


def test_nginx_closes_a_kept_connection_before_the_proxy_does() -> None:
    found = re.search(
        r"^keepalive_timeout (\d+)s;", (NGINX_FILES / "oaicompat" / "kept-connections.conf").read_text(), re.M
    )
    assert found
    assert float(found[1]) < Config(demo=True).idle_timeout


# several replicas


@contextlib.asynccontextmanager
async def replicas(first: Any = agree, second: Any = agree) -> AsyncIterator[tuple[tuple[Backend, Backend], str]]:
    async with Backend(first) as one, Backend(second) as other:
        with nginx_listening(plain(replica_edits(one.port, other.port))) as port:
            yield (one, other), f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("header", ["X-Session-Id", "Idempotency-Key", "session-id", "X-Claude-Code-Session-Id"])
async def test_what_bears_one_name_goes_to_one_replica(header: str) -> None:
    names = [f"name-{number}" for number in range(16)]
    async with replicas() as (both, base), aiohttp.ClientSession() as session:
        for name in names * 3:
            async with session.post(base + CHAT, data=b"{}", headers={header: name}) as response:
                assert response.status == 200
        seen = [{request.header(header) for request in each.requests} for each in both]
    assert seen[0] | seen[1] == set(names)
    assert not seen[0] & seen[1]
    assert all(seen)


async def test_a_response_is_asked_for_where_it_was_made() -> None:
    async with replicas() as (both, base), aiohttp.ClientSession() as session:
        for _ in range(24):
            async with session.post(base + "/v1/responses", data=b"{}") as response:
                assert response.status == 200
        made = [[request.header("X-Answer-Id") for request in each.requests] for each in both]
        assert all(made)
        for answer_id in (*made[0], *made[1]):
            for below in ("", "/cancel", "?stream=true&starting_after=3"):
                async with session.post(f"{base}/v1/responses/resp_{answer_id}{below}", data=b"{}") as response:
                    assert response.status == 200
        for each, own in zip(both, made, strict=True):
            asked = [found[0] for request in each.requests if (found := re.search("(?<=resp_)[0-9a-f]+", request.head))]
            assert sorted(asked) == sorted(3 * own)


async def test_a_client_does_not_choose_the_id_of_a_response() -> None:
    async with replicas() as (both, base), aiohttp.ClientSession() as session:
        async with session.post(base + "/v1/responses", data=b"{}", headers={"X-Answer-Id": "0" * 32}) as response:
            assert response.status == 200
        (sent,) = [request.header("X-Answer-Id") for each in both for request in each.requests]
    assert re.fullmatch("[0-9a-f]{32}", sent)
    assert sent != "0" * 32


async def test_a_session_keeps_its_replica_whatever_the_key() -> None:
    async with replicas() as (both, base), aiohttp.ClientSession() as session:
        for number in range(16):
            headers = {"X-Session-Id": "one", "Idempotency-Key": f"key-{number}"}
            async with session.post(base + CHAT, data=b"{}", headers=headers) as response:
                assert response.status == 200
        assert sorted(len(each.requests) for each in both) == [0, 16]


async def test_requests_without_a_name_are_spread() -> None:
    async with replicas() as (both, base), aiohttp.ClientSession() as session:
        for _ in range(80):
            async with session.post(base + CHAT, data=b"{}") as response:
                assert response.status == 200
        counts = [len(each.requests) for each in both]
    assert sum(counts) == 80
    assert min(counts) > 10  # the hash is not even, but not that uneven


async def test_a_replica_without_connections_is_passed_over() -> None:
    bodies = [b"%d" % number for number in range(20)]
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        async with Backend(agree) as alive, aiohttp.ClientSession() as session:
            with nginx_listening(plain(replica_edits(dead.getsockname()[1], alive.port))) as port:
                for body in bodies:
                    headers = {"X-Session-Id": body.decode()}
                    async with session.post(f"http://127.0.0.1:{port}{CHAT}", data=body, headers=headers) as response:
                        assert response.status == 200
                assert [request.body for request in alive.requests] == bodies


async def test_a_run_that_one_replica_has_got_is_never_given_to_the_other() -> None:
    async with replicas(break_off, break_off) as (both, base), aiohttp.ClientSession() as session:
        async with session.post(base + CHAT, data=b"{}") as response:
            assert response.status == 502
            assert response.headers["X-Should-Retry"] == "false"
            assert error_of(await response.read())["code"] == "proxy_unreachable"
        assert sum(len(each.requests) for each in both) == 1


async def test_with_no_replica_alive_each_request_may_be_tried_again() -> None:
    with socket.socket() as one, socket.socket() as other:
        for dead in (one, other):
            dead.bind(("127.0.0.1", 0))
        edits = replica_edits(one.getsockname()[1], other.getsockname()[1])
        async with aiohttp.ClientSession() as session:
            with nginx_listening(plain(edits)) as port:
                for _ in range(3):  # the first tries both, the others know already
                    async with session.post(f"http://127.0.0.1:{port}{CHAT}", data=b"{}") as response:
                        assert response.status == 502
                        assert response.headers["X-Should-Retry"] == "true"


def test_real_replicas_serve_on_while_one_of_them_stops() -> None:
    with contextlib.ExitStack() as running, contextlib.ExitStack() as stopping:
        ports = port_of(running.enter_context(proxy())), port_of(stopping.enter_context(proxy()))
        port = running.enter_context(nginx_listening(plain(replica_edits(*ports))))
        base = f"http://127.0.0.1:{port}/v1"
        client = running.enter_context(openai.OpenAI(base_url=base, api_key="any", max_retries=0))
        answers = []
        for number in range(12):
            if number == 4:
                stopping.close()
            headers = {"X-Session-Id": f"session-{number}"}
            messages: Any = [{"role": "user", "content": "add 19 and 23"}]
            completion = client.chat.completions.create(model="demo", messages=messages, extra_headers=headers)
            answers.append(completion.choices[0].message.content or "")
    assert len(answers) == 12
    assert all("42" in answer for answer in answers)


# TLS


@contextlib.contextmanager
def nginx_with_tls(upstream: int, certificate: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    behind = {UPSTREAM: f"server 127.0.0.1:{upstream};"}
    with nginx_listening(lambda port: {**tls_edits(port, certificate), **behind, **(more or {})}) as port:
        yield f"https://127.0.0.1:{port}"


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate / "x.crt")


def test_the_doctor_leaves_over_tls_as_other_clients_do(certificate: Path) -> None:
    """asyncio waits for nginx's goodbye, which nginx does not send, before it closes the connection."""
    trust = {**os.environ, "SSL_CERT_FILE": str(certificate / "x.crt")}
    with proxy() as base, nginx_with_tls(port_of(base), certificate) as outer:
        command = [sys.executable, "-m", "oaicompat_proxy", "doctor", outer, "--silence", "1", "--idle", "1", "--json"]
        done = subprocess.run(command, env=trust, capture_output=True, text=True, timeout=120, check=False)
    levels = {each["check"]: each["level"] for each in json.loads(done.stdout)["findings"]}
    assert levels["disconnect"] in ("ok", "warn"), done.stdout


async def test_the_proxy_learns_that_the_client_came_by_tls(certificate: Path) -> None:
    async with Backend(agree) as seen, aiohttp.ClientSession() as session:
        with nginx_with_tls(seen.port, certificate) as base:
            async with session.post(base + CHAT, data=b"{}", ssl=trusting(certificate)) as response:
                assert response.status == 200
        assert seen.requests[0].header("X-Forwarded-Proto") == "https"


@pytest.mark.parametrize("protocol", ["http1.1", "http2"])
async def test_each_event_is_passed_on_before_the_next_one_exists(protocol: str, certificate: Path) -> None:
    """As curl sees it: aiohttp speaks no HTTP/2."""
    received = asyncio.Semaphore(0)

    async def reply(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM)
        for number in range(5):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            await received.acquire()
        writer.write(b"0\r\n\r\n")
        writer.close()

    curl = shutil.which("curl")
    assert curl, "curl is not installed, and these tests need an HTTP/2 client: apt-get install curl"
    async with asyncio.timeout(DEADLINE), Backend(reply) as seen:
        with nginx_with_tls(seen.port, certificate) as base:
            flags = ["-sSN", f"--{protocol}", "--cacert", str(certificate / "x.crt"), "-w", "%{http_version}"]
            client = await asyncio.create_subprocess_exec(
                curl, *flags, "-d", "{}", base + CHAT, stdout=asyncio.subprocess.PIPE
            )
            assert client.stdout
            for number in range(5):
                assert await client.stdout.readuntil(b"\n\n") == b"data: %d\n\n" % number
                received.release()
            assert (await client.communicate())[0].decode() == protocol.removeprefix("http")
            assert client.returncode == 0


def test_the_official_client_is_answered_over_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "x.crt"))
    messages: Any = [{"role": "user", "content": "add 19 and 23"}]
    with (
        proxy() as behind,
        nginx_with_tls(port_of(behind), certificate) as base,
        openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client,
    ):
        chunks = list(client.chat.completions.create(model="demo", messages=messages, stream=True))
    assert "42" in "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def handshake(port: int, context: ssl.SSLContext) -> tuple[str, str]:
    """Version and cipher. Raises ssl.SSLError when they do not agree."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    agreed = tls.version(), tls.cipher()[0]
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return agreed


async def test_ciphers_are_those_of_today(certificate: Path) -> None:
    with nginx_with_tls(9, certificate) as base:
        port = port_of(base)
        newest, older, oldest = (trusting(certificate) for _ in range(3))
        assert (await handshake(port, newest))[0] == "TLSv1.3"
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await handshake(port, older))[0] == "TLSv1.2"
        oldest.maximum_version = ssl.TLSVersion.TLSv1_2
        oldest.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA")  # nginx by itself would take them
        with pytest.raises(ssl.SSLError):
            await handshake(port, oldest)


# limits by address


async def test_a_flood_of_requests_is_an_openai_error_that_may_be_tried_again(certificate: Path) -> None:
    few = {"rate=50r/s": "rate=1r/m", "burst=200 nodelay": "burst=3 nodelay"}
    async with Backend(agree) as seen, aiohttp.ClientSession() as session:
        with nginx_with_tls(seen.port, certificate, few) as base:
            for _ in range(4):
                async with session.post(base + CHAT, data=b"{}", ssl=trusting(certificate)) as response:
                    assert response.status == 200
            async with session.post(base + CHAT, data=b"{}", ssl=trusting(certificate)) as response:
                assert response.status == 429
                assert (response.headers["X-Should-Retry"], response.headers["Retry-After"]) == ("true", "1")
                assert error_of(await response.read())["code"] == "rate_limit_exceeded"
        assert len(seen.requests) == 4


async def test_too_many_running_answers_of_one_address_are_the_same_error(certificate: Path) -> None:
    end = asyncio.Event()

    async def reply(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENT_STREAM + b"9\r\ndata: 1\n\n\r\n")
        await end.wait()
        writer.write(b"0\r\n\r\n")

    few = {"limit_conn oaicompat_running 500;": "limit_conn oaicompat_running 2;"}
    async with contextlib.AsyncExitStack() as stack:
        seen = await stack.enter_async_context(Backend(reply))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = stack.enter_context(nginx_with_tls(seen.port, certificate, few)) + CHAT
        running = [
            await stack.enter_async_context(session.post(url, data=b"{}", ssl=trusting(certificate))) for _ in range(2)
        ]
        async with session.post(url, data=b"{}", ssl=trusting(certificate)) as response:
            assert response.status == 429
            assert error_of(await response.read())["code"] == "rate_limit_exceeded"
        end.set()
        assert [await each.read() for each in running] == [b"data: 1\n\n"] * 2
