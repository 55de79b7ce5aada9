"""The observers of runs, by the settings."""

from __future__ import annotations

import logging
import sys

import aiohttp
import pytest
from prometheus_client import generate_latest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.observability import multiprocess as shared_metrics
from oaicompat_proxy.server.observability.telemetry import TELEMETRY
from oaicompat_proxy.server.process.serve import listening
from tests.support.prometheus_text import Exposition, scrape
from tests.support.proxy import CHAT, SETTINGS, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run


@pytest.mark.parametrize(("trace", "count"), [(False, 2), (True, 3)])
async def test_metrics_and_log_always_traces_if_they_are_switched_on(
    proxy: StartProxy, trace: bool, count: int
) -> None:
    front = await proxy(trace=trace)
    assert len(front.app[TELEMETRY].observers) == count
    assert (front.app[TELEMETRY].tracer is not None) is trace


async def test_two_applications_count_by_themselves(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    first, second = await proxy(), await proxy()
    await first.chat()
    assert (await scrape(first)).total("oaicompat_runs_total") == 1
    assert (await scrape(second)).total("oaicompat_runs_total") == 0


@pytest.mark.slow
async def test_the_last_run_of_a_worker_counts(agent: Agent) -> None:
    agent.plays(run("Hello"))
    config = Config(**{**SETTINGS, "upstream": agent.url})
    with shared_metrics.sharing():
        async with (
            listening(create_app(config), config) as port,
            aiohttp.request("POST", f"http://127.0.0.1:{port}{CHAT}", data=chat_body()) as response,
        ):
            await response.read()
        seen = Exposition(generate_latest(shared_metrics.gather()).decode())
    assert seen.total("oaicompat_runs_total", outcome="success") == 1


async def test_the_share_of_logged_runs_is_the_setting(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(run("Hello"))
    silent = await proxy(log_sample=0.0)
    with caplog.at_level(logging.INFO):
        await silent.chat()
        assert [record for record in caplog.records if record.name == "oaicompat_proxy.runs"] == []
        await silent.post(b"{")
    assert [record.levelname for record in caplog.records if record.name == "oaicompat_proxy.runs"] == ["INFO"]


async def test_traces_without_opentelemetry_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("oaicompat_proxy.server.observability.tracing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    config = Config(**{**SETTINGS, "upstream": "http://127.0.0.1:9", "trace": True})
    with pytest.raises(ConfigError, match=r"oaicompat-proxy\[tracing\]"):
        async with listening(create_app(config), config):
            pass
