"""Notifications to systemd: a real datagram socket listens in its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator

import aiohttp
import pytest

from oaicompat_proxy.server.process.systemd import notify, readiness, watchdog, watchdog_timeout
from tests.support.conformance import check_stream
from tests.support.processes import START, Child, free_port, proxy_before, stopping
from tests.support.proxy import CHAT, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, text
from tests.unit.server.endpoints.test_models import apps

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def listener(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(START)
        receiver.bind(address)
        yield receiver


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with (
        tempfile.TemporaryDirectory() as name,
        listener(f"{name}/notify") as receiver,
    ):  # pytest's own paths are too long
        monkeypatch.setenv("NOTIFY_SOCKET", f"{name}/notify")
        for other in ("WATCHDOG_PID", "WATCHDOG_USEC"):
            monkeypatch.delenv(other, raising=False)
        yield receiver


def receive(receiver: socket.socket) -> str:
    return receiver.recv(4096).decode()


def waiting(receiver: socket.socket) -> list[str]:
    """All notifications up to now."""
    receiver.setblocking(False)
    states = []
    with contextlib.suppress(BlockingIOError):
        while True:
            states.append(receive(receiver))
    return states


def test_it_is_ready_inside_and_stopping_at_the_end(systemd: socket.socket) -> None:
    with readiness():
        assert waiting(systemd) == ["READY=1"]
    assert waiting(systemd) == ["STOPPING=1"]


def test_a_socket_without_a_file_is_notified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"oaicompat-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with listener(f"\0{name}") as receiver:
        notify("READY=1")
        assert waiting(receiver) == ["READY=1"]


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    assert caplog.records == []


@pytest.mark.parametrize("full", [True, False], ids=["full", "gone"])
def test_a_socket_that_takes_nothing_is_logged_and_holds_nobody_up(
    full: bool, systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    if full:
        while not caplog.records:
            notify("WATCHDOG=1")
    else:
        os.unlink(os.environ["NOTIFY_SOCKET"])
        notify("WATCHDOG=1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("sd_notify(WATCHDOG=1) failed: ")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0),
    ],
)
def test_the_watchdog_is_the_one_of_this_process(
    environment: dict[str, str], seconds: float, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert watchdog_timeout() == seconds


async def test_signs_of_life_come_before_they_are_missed(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    async with watchdog():
        await asyncio.sleep(0.35)
    assert len(waiting(systemd)) >= 2
    await asyncio.sleep(0.15)
    assert waiting(systemd) == []


async def test_no_sign_of_life_is_given_where_nobody_looks(systemd: socket.socket) -> None:
    async with watchdog():
        await asyncio.sleep(0)
    assert waiting(systemd) == []


def test_the_real_process_listens_when_it_says_so_and_says_that_it_stops(systemd: socket.socket) -> None:
    port = free_port()
    command = [sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", str(port)]
    environment = {**os.environ, "WATCHDOG_USEC": "60000000"}
    with stopping(Child(*command, env=environment)) as child:
        assert {receive(systemd), receive(systemd)} == {"READY=1", "WATCHDOG=1"}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as response:
            assert response.status == 200
        child.signal(signal.SIGTERM)
        assert receive(systemd) == "STOPPING=1"
        assert child.status() == 0


async def test_several_workers_are_one_process_to_systemd(
    agent: Agent, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    agent.replies("/invoke", apps("default"))
    async with proxy_before(agent.url, "--workers", "2") as (child, base):
        assert (await asyncio.to_thread(receive, systemd)).startswith("READY=1\n")  # gunicorn adds a STATUS
        assert await asyncio.to_thread(receive, systemd) == "WATCHDOG=1"
        async with aiohttp.ClientSession() as client, client.get(base + "/healthz") as response:
            assert response.status == 200
        child.signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.status) == 0
    assert [each for each in waiting(systemd) if each != "WATCHDOG=1"] == ["STOPPING=1"]


async def test_several_workers_give_signs_of_life_while_old_ones_still_answer(
    agent: Agent, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd would end the service, and with it the answers for which the reload waits."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    gate = asyncio.Event()
    agent.replies("/invoke", apps("default"))
    agent.plays(OPENING, text("Still here"), gate, closing())
    async with (
        proxy_before(agent.url, "--workers", "2") as (child, base),
        aiohttp.ClientSession() as client,
        client.post(base + CHAT, data=chat_body()) as response,
    ):
        child.signal(signal.SIGHUP)
        await asyncio.to_thread(child.wait_for, "(?s)(Booting worker.*){4}")
        waiting(systemd)
        systemd.settimeout(START)
        assert {await asyncio.to_thread(receive, systemd) for _ in range(3)} == {"WATCHDOG=1"}
        gate.set()
        assert check_stream(await response.read(), include_usage=False).text == "Still here"
