from __future__ import annotations

import asyncio
import logging
import re
import resource
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from oaicompat_proxy.server.process.sockets import (
    ListenError,
    address_of,
    check_exposure,
    open_sockets,
    raise_open_file_limit,
)
from tests.support.conformance import check_stream
from tests.support.demo_socket import gateway_on
from tests.support.processes import Child, nginx, proxy_before, stopping
from tests.support.proxy import CHAT, Line, chat_body
from tests.support.scripted_gateway import OPENING, Agent, run
from tests.unit.server.endpoints.test_models import apps

pytestmark = pytest.mark.slow


def config(path: Path, **more: str) -> Config:
    return Config(upstream="http://gateway", unix_socket=str(path), **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "proxy.sock"


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that nginx, as another user, can enter."""
    with tempfile.TemporaryDirectory(prefix="sockets-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


# Files


@pytest.mark.parametrize("mode", ["600", "660", "666"])
def test_a_file_has_its_permissions_and_goes_at_the_end(path: Path, mode: str) -> None:
    with open_sockets(config(path, unix_socket_mode=mode)) as sockets:
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
        assert address_of(sockets, "") == f"unix:{path}"
    assert not path.exists()


def test_a_file_that_a_dead_process_left_is_taken_over(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with open_sockets(config(path)) as sockets:
        sockets[0].listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_on_which_somebody_listens_is_left_to_them(path: Path) -> None:
    with open_sockets(config(path)) as sockets:
        sockets[0].listen()
        with pytest.raises(ListenError, match=f"^cannot listen on {path}: another process .* --unix-socket$"):
            open_sockets(config(path)).__enter__()
        assert path.exists()


def test_a_file_of_another_kind_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ListenError, match=f"^cannot listen on {path}: the file exists"):
        open_sockets(config(path)).__enter__()
    assert path.read_text() == "precious"


def test_a_file_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"No such file or directory$"):
        open_sockets(config(tmp_path / "nowhere" / "proxy.sock")).__enter__()


def test_the_next_process_may_be_there_before_this_one_is_gone(path: Path) -> None:
    old = open_sockets(config(path))
    old.__enter__()[0].close()
    with open_sockets(config(path)):
        old.__exit__(None, None, None)
        assert path.exists()


async def test_all_of_it_over_files(open_to_all: Path) -> None:
    """nginx → file → proxy → file → gateway."""
    ours = open_to_all / "proxy.sock"
    async with (
        gateway_on(open_to_all / "gateway.sock") as url,
        proxy_before(url, "--unix-socket", str(ours), "--unix-socket-mode", "666") as (child, address),
    ):
        assert address == f"unix:{ours}"
        with nginx(address) as front:
            async with aiohttp.ClientSession() as client, client.post(front + CHAT, data=chat_body("Hi")) as response:
                assert check_stream(await response.read(), include_usage=False).finish_reason == "stop"
        child.wait_for("--unix-socket")
    assert not ours.exists()


async def test_a_client_at_a_file_counts_as_one_of_this_machine(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So the forwarded address that nginx sends over it is trusted."""
    ours = config(path)
    async with (
        listening(create_app(ours), ours),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as it,
    ):
        with caplog.at_level(logging.INFO, logger="oaicompat_proxy.access"):
            for forwarded in ({}, {"X-Forwarded-For": "203.0.113.9"}):
                async with it.get("http://proxy/healthz", headers=forwarded) as response:
                    assert response.status == 200
    assert re.findall(r"req_\w+ (\S+) - GET /healthz", caplog.text) == ["127.0.0.1", "203.0.113.9"]


# Who can reach it


def test_a_file_and_the_loopback_need_no_keys(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for ours in (config(path, host="0.0.0.0"), Config(demo=True, port=0)):
        with open_sockets(ours) as sockets:
            check_exposure(sockets, ours)
    assert caplog.text == ""


def test_what_others_can_reach_needs_keys_or_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Also a socket that another process has opened, where the configured host does not count."""
    with socket.create_server(("0.0.0.0", 0)) as opened:
        with pytest.raises(ListenError, match=r"^other machines can reach 0\.0\.0\.0: set --api-key"):
            check_exposure([opened], Config(demo=True))
        for ours in (Config(demo=True, api_key=("k",)), Config(demo=True, no_auth=True)):
            check_exposure([opened], ours)
    assert caplog.text == ""
    with open_sockets(Config(demo=True, host="0.0.0.0", port=0, no_auth=True)):
        assert "everyone who can reach 0.0.0.0" in caplog.text


# Ports


def test_a_name_with_two_addresses_has_one_port() -> None:
    with open_sockets(Config(demo=True, host="localhost", port=0)) as sockets:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1


def test_what_systemd_has_opened_for_others_needs_keys() -> None:
    with socket.create_server(("0.0.0.0", 0)) as opened:
        start = f"exec env LISTEN_PID=$$ LISTEN_FDS=1 {sys.executable} -m oaicompat_proxy --demo"
        with stopping(Child("bash", "-c", f"exec 3<&{opened.fileno()}; {start}", pass_fds=[opened.fileno()])) as child:
            child.wait_for("can reach 0.0.0.0")
            assert child.status() == 2


async def test_what_systemd_has_opened_is_used(agent: Agent) -> None:
    """Callers wait in it while the process is started anew."""
    agent.replies("/invoke", apps("default"))
    agent.plays(run("Hello"))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port, number = opened.getsockname()[1], opened.fileno()
        start = f"exec env LISTEN_PID=$$ LISTEN_FDS=1 {sys.executable} -m oaicompat_proxy --upstream {agent.url}"
        for flags in ("", "--workers 2"):
            async with aiohttp.ClientSession() as client:
                asking = asyncio.create_task(ask(client, port))
                await asyncio.sleep(0.1)
                child = Child("bash", "-c", f"exec 3<&{number}; {start} {flags}", pass_fds=[number])
                try:
                    assert check_stream(await asking, include_usage=False).text == "Hello"
                finally:
                    await asyncio.to_thread(child.stop)


async def ask(client: aiohttp.ClientSession, port: int) -> bytes:
    async with client.post(f"http://127.0.0.1:{port}{CHAT}", data=chat_body()) as response:
        return await response.read()


# Open files


@pytest.fixture
def few_files() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
def test_as_many_files_are_allowed_as_connections_may_need(caplog: pytest.LogCaptureFixture) -> None:
    raise_open_file_limit(1000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 2200
    assert caplog.text == ""


def test_a_limit_that_cannot_be_raised_is_said(few_files: int, caplog: pytest.LogCaptureFixture) -> None:
    raise_open_file_limit(few_files)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files
    assert "--max-connections" in caplog.text


@pytest.mark.parametrize(("files", "connections"), [(2, 1), (64, 16), (1024, 412), (32_198, 15_999), (32_200, 16_000)])
def test_each_connection_that_is_accepted_may_have_a_run(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert raise_open_file_limit(16_000) == connections


async def test_connections_beyond_the_open_files_get_503(agent: Agent) -> None:
    """libuv closes a connection that it accepts beyond the limit, without a word to anybody."""
    agent.plays([*OPENING, "stall"])
    limited = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', sys.executable, "-m", "oaicompat_proxy", "--port", "0"]
    child = Child(*limited, "--upstream", agent.url, "--drain-timeout", "0.1")
    try:
        found = await asyncio.to_thread(child.wait_for, r"listens on +http://127\.0\.0\.1:(\d+)")
        lines = []
        for _ in range(40):
            lines.append(Line(*await asyncio.open_connection("127.0.0.1", int(found[1]))))
            await lines[-1].post(chat_body())
        assert {(await line.read_head())[0] for line in lines[16:]} == {503}
        for line in lines:
            await line.close()
    finally:
        await asyncio.to_thread(child.stop)
