"""`--workers N`. Its shutdown is tested in test_stopping, its restart in test_rolling_restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import socket
from pathlib import Path

import pytest

from tests.process.test_cli import run
from tests.support.processes import Child, proxy_before
from tests.support.scripted_gateway import PATIENCE, Agent
from tests.unit.server.endpoints.test_models import apps

pytestmark = pytest.mark.slow


async def booted(child: Child, count: int) -> None:
    await asyncio.to_thread(child.wait_for, rf"(?s)(Booting worker.*){{{count}}}")


async def first_two_ended(child: Child) -> None:
    """The log does not always tell: a worker that has just been forked ends without a word."""
    for pid in re.findall(r"Booting worker with pid: (\d+)", child.output)[:2]:
        with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(int(pid))) as process:
            ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], PATIENCE)
            assert ended


async def test_a_worker_that_dies_is_replaced_and_a_file_to_listen_on_stays(agent: Agent, tmp_path: Path) -> None:
    agent.replies("/invoke", apps("default"))
    path = tmp_path / "proxy.sock"
    async with proxy_before(agent.url, "--workers", "2", "--unix-socket", str(path)) as (child, _):
        await booted(child, 2)
        child.signal(signal.SIGHUP)
        await booted(child, 4)
        await first_two_ended(child)
        assert path.exists(), "workers that end leave it to those that go on"
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
    assert not path.exists()


@pytest.mark.parametrize("flags", [[], ["--redis", "redis://127.0.0.1:1"]])
async def test_what_workers_do_not_share_is_said(agent: Agent, flags: list[str]) -> None:
    agent.replies("/invoke", apps("default"))
    async with proxy_before(agent.url, "--workers", "2", *flags) as (child, _):
        assert ("without --redis" in child.output) is not bool(flags)


async def test_every_line_is_written_as_the_settings_say(agent: Agent) -> None:
    """gunicorn's too, of the workers and of their master, before and after a reload."""
    agent.replies("/invoke", apps("default"))
    async with proxy_before(agent.url, "--workers", "2", "--log-format", "json") as (child, _):
        await booted(child, 2)
        child.signal(signal.SIGHUP)
        await booted(child, 4)
        await first_two_ended(child)
    lines = [json.loads(line) for line in child.output.splitlines() if "orker" in line]
    booting = [line for line in lines if line["message"].startswith("Booting worker")]
    assert len(booting) >= 4
    assert {(line["level"], line["logger"]) for line in booting} == {("info", "gunicorn.error")}


def test_the_demo_agent_has_one_process() -> None:
    result = run("--demo", "--workers", "2")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--workers" in result.stderr


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = taken.getsockname()[1]
        result = run("--upstream", "http://127.0.0.1:1", "--workers", "2", "--port", str(taken_port))
    assert (result.returncode, result.stdout) == (2, "")
    assert str(taken_port) in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr
