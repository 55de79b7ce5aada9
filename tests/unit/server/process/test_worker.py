"""gunicorn as `scripts/deploy/README.md` has it: the application factory, our worker class, settings from variables."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.support.conformance import check_stream
from tests.support.processes import Child
from tests.support.proxy import CHAT, chat_body
from tests.support.scripted_gateway import Agent, run
from tests.unit.server.endpoints.test_models import apps

pytestmark = pytest.mark.slow

FACTORY = "oaicompat_proxy.server.app:factory()"
WORKER = "oaicompat_proxy.server.process.worker.Worker"


@asynccontextmanager
async def gunicorn(upstream: str, *flags: str) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", "gunicorn", FACTORY, "--worker-class", WORKER, "--bind", "127.0.0.1:0", *flags]
    child = Child(*command, "--no-control-socket", env={**os.environ, "OAICOMPAT_UPSTREAM": upstream})
    try:
        yield child
    finally:
        await asyncio.to_thread(child.stop)


async def test_it_serves_as_documented_and_ends_well(agent: Agent) -> None:
    agent.replies("/invoke", apps("default"))
    agent.plays(run("Hello"))
    async with gunicorn(agent.url, "--graceful-timeout", "60") as child:
        base = (await asyncio.to_thread(child.wait_for, r"Listening at: (http://\S+)"))[1]
        async with aiohttp.ClientSession() as client, client.post(base + CHAT, data=chat_body()) as response:
            assert check_stream(await response.read(), include_usage=False).text == "Hello"
            assert response.headers["Server"] == "oaicompat-proxy"
        child.signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.status) == 0
        assert "--graceful-timeout" not in child.output
        assert "Traceback" not in child.output
    assert agent.closed_sessions == [agent.runs[0].session]


async def test_too_short_a_time_for_its_end_is_said(agent: Agent) -> None:
    async with gunicorn(agent.url, "--graceful-timeout", "5") as child:
        await asyncio.to_thread(child.wait_for, "set --graceful-timeout 5[0-9]")


async def test_a_variable_that_is_no_setting_is_a_warning(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAICOMPAT_LOGLEVEL", "debug")
    async with gunicorn(agent.url) as child:
        await asyncio.to_thread(child.wait_for, "did you mean OAICOMPAT_LOG_LEVEL")


async def test_settings_that_cannot_be_end_it(agent: Agent) -> None:
    async with gunicorn("ftp://gateway") as child:
        await asyncio.to_thread(child.wait_for, "--upstream must be")
        assert await asyncio.to_thread(child.status) == 3


async def test_what_others_can_reach_needs_keys(agent: Agent) -> None:
    """gunicorn says where it listens, not our settings."""
    async with gunicorn(agent.url, "--bind", "0.0.0.0:0") as child:
        await asyncio.to_thread(child.wait_for, r"other machines can reach 0\.0\.0\.0: set --api-key")
        assert await asyncio.to_thread(child.status) == 3
        assert "Traceback" not in child.output


async def test_it_speaks_no_tls(agent: Agent) -> None:
    async with gunicorn(agent.url, "--certfile", __file__) as child:
        await asyncio.to_thread(child.wait_for, "does not support TLS")
        assert await asyncio.to_thread(child.status) != 0
