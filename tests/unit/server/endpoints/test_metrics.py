"""Who may read the metrics, and in which form they come."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.endpoints.metrics import may_read
from tests.support.prometheus_text import scrape
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, run


@pytest.mark.parametrize(
    ("peer", "forwarded", "allowed", "may"),
    [
        ("127.0.0.1", [], None, True),
        ("::1", [], None, True),
        ("10.1.2.3", [], None, False),
        ("127.0.0.1", ["203.0.113.9"], None, False),
        ("127.0.0.1", ["127.0.0.1, 203.0.113.9"], None, False),
        ("127.0.0.1", ["127.0.0.1", "203.0.113.9"], None, False),
        ("127.0.0.1", ["127.0.0.1"], None, True),
        ("127.0.0.1", ["unknown"], None, False),
        ("127.0.0.1", [""], None, False),
        ("", [], None, True),
        ("", ["203.0.113.9"], None, False),
        ("10.1.2.3", [], ("10.0.0.0/8",), True),
        ("127.0.0.1", [], ("10.0.0.0/8",), False),
        ("127.0.0.1", ["10.1.2.3"], ("10.0.0.0/8", "127.0.0.1"), True),
    ],
)
def test_everybody_on_the_way_has_to_be_allowed(
    peer: str, forwarded: list[str], allowed: tuple[str, ...] | None, may: bool
) -> None:
    config = Config(demo=True, **({} if allowed is None else {"metrics_from": allowed}))
    assert may_read(peer, forwarded, config) is may


async def test_others_find_nothing_there(proxy: StartProxy) -> None:
    front = await proxy()
    received = await front.request("GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert received.status == 404
    assert b"unknown_url" in received.body
    assert b"oaicompat_" not in received.body


OTHER_WAYS = [
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 somewhere"},
    {"CF-Connecting-IP": "203.0.113.9"},
    {"True-Client-IP": "2001:db8::1"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Host": "ai.example.com"},
    {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=203.0.113.9"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "203.0.113.9"},
    {"X-Forwarded-For": "127.0.0.1", "Via": "1.1 somewhere"},
]


@pytest.mark.parametrize("headers", OTHER_WAYS, ids=str)
async def test_what_came_through_any_proxy_finds_nothing_there(proxy: StartProxy, headers: dict[str, str]) -> None:
    assert (await (await proxy()).request("GET", "/metrics", headers=headers)).status == 404


async def test_what_nginx_passes_on_for_this_machine_is_served(proxy: StartProxy) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Real-IP": "::1"}
    assert (await (await proxy()).request("GET", "/metrics", headers=headers)).status == 200


async def test_no_key_is_asked_for(proxy: StartProxy) -> None:
    front = await proxy(api_key=("s3cr3t",))
    assert (await front.get("/metrics")).status == 200


async def test_both_forms_are_spoken(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await front.chat()
    plain = await front.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=")
    accept = "application/openmetrics-text; version=1.0.0"
    openmetrics = await front.request("GET", "/metrics", headers={"Accept": accept})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(openmetrics.body.decode())}
    assert {"oaicompat_runs", "gen_ai_server_request_duration_seconds", "process_cpu_seconds"} <= names


async def test_promtool_has_nothing_to_say(proxy: StartProxy, agent: Agent) -> None:
    """Prometheus' own linter, on all that a run leaves."""
    agent.plays(run("Hello"))
    front = await proxy(sessions="recognise")
    await front.chat()
    await front.post(b"{")
    agent.kept_sessions.update(each.session for each in agent.runs)
    assert await asyncio.to_thread(promtool, (await scrape(front)).text) == (0, "", "")


def promtool(text: str) -> tuple[int, str, str]:
    check = ["promtool", "check", "metrics"]
    result = subprocess.run(check, input=text, capture_output=True, text=True, timeout=30, check=False)
    return result.returncode, result.stdout, result.stderr


async def test_what_runs_here_is_printed(proxy: StartProxy) -> None:
    metrics = await scrape(await proxy())
    (labels,) = metrics.labels("oaicompat_build_info")
    assert labels.keys() == {"version", "python_version", "aiohttp_version"}
    assert all(labels.values())
    assert metrics.total("oaicompat_build_info") == 1
