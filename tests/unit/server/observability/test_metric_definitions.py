"""The names: Prometheus' rules, OpenTelemetry's, and that all of them are really there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import disable_created_metrics, enable_created_metrics

from oaicompat_proxy.server.observability import metric_definitions as names
from oaicompat_proxy.server.observability.metric_definitions import ALL, Definition
from tests.support.paths import ROOT
from tests.support.prometheus_text import Exposition, scrape
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, failure, run

DASHBOARD = ROOT / "scripts" / "deploy" / "grafana" / "oaicompat-proxy.json"

KEY = "sk-harbor"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

PLUMBING = {"le", "job", "instance", "__name__"}
"""Labels that are Prometheus' own."""


@pytest.fixture(autouse=True)
def as_set_up_by_the_command() -> Iterator[None]:
    disable_created_metrics()
    yield
    enable_created_metrics()


async def everything(proxy: StartProxy, agent: Agent, tmp_path: Path) -> Exposition:
    """After runs that leave a sample of every metric."""
    keys = tmp_path / "keys.toml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(f'[keys.harbor]\nhash = "{digest}"\nbudget = {{ runs_per_day = 4 }}\n')
    agent.replies("/send", answer({}, 500), Reply([failure("gone")]), Reply(run("Hello")))
    front = await proxy(sessions="recognise", side_requests="answer", api_keys_file=str(keys))
    for _ in range(3):
        await front.post(chat_body(), headers=AUTHORIZED)
    await front.post(chat_body(max_tokens=1), headers=AUTHORIZED)
    agent.plays(OPENING, asyncio.Event())
    line = await front.dial()
    await line.post(chat_body(), headers=[f"Authorization: Bearer {KEY}"])
    await agent.until(lambda: agent.runs and agent.runs[-1].outcome == "playing")
    line.reset()
    await agent.until(lambda: agent.runs[-1].outcome == "left")
    agent.kept_sessions.update(each.session for each in agent.runs)
    while (await front.post(chat_body(), headers=AUTHORIZED)).status != 429:
        agent.plays(run("Hello"))
    return await scrape(front)


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_a_name_keeps_prometheus_rules(each: Definition) -> None:
    assert re.fullmatch(r"(oaicompat|gen_ai)_[a-z_]+[a-z]", each.name)
    assert (each.kind == "counter") == each.name.endswith("_total")
    assert not re.search(r"(_bucket|_sum|_count|_created)$", each.name)
    assert all(re.fullmatch(r"[a-z_]+", label) for label in each.labels)
    assert each.text.endswith(".")
    assert (each.kind == "histogram") == bool(each.buckets)
    assert list(each.buckets) == sorted(set(each.buckets))


def test_names_are_unique() -> None:
    assert len({each.name for each in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("definition", "advised"),
    [
        (names.DURATION, [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]),
        (
            names.FIRST_TOKEN,
            [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
        ),
        (names.TOKEN_USAGE, [4**power for power in range(14)]),
    ],
)
def test_boundaries_are_those_that_opentelemetry_advises(definition: Definition, advised: list[float]) -> None:
    assert list(definition.buckets)[: len(advised)] == advised


async def test_every_metric_is_there_with_its_labels(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    metrics = await everything(proxy, agent, tmp_path)
    ours = {family.name: family for family in metrics.families if family.name.startswith(("oaicompat_", "gen_ai_"))}
    assert set(ours) == {each.name.removesuffix("_total") for each in ALL}
    for each in ALL:
        family = ours[each.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (each.kind, each.text)
        assert family.samples, each.name
        for sample in family.samples:
            assert sample.labels.keys() - PLUMBING == set(each.labels), each.name


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_the_dashboard_uses_only_what_is_there() -> None:
    samples = {each.name.removesuffix("_total") + suffix for each in ALL for suffix in SUFFIXES[each.kind]}
    used = {name for text in expressions() for name in re.findall(r"\b(?:oaicompat|gen_ai)_\w+", text)}
    labels = {label for each in ALL for label in each.labels}
    assert used - labels <= samples
    assert used - labels


def test_the_dashboard_groups_and_filters_by_labels_that_are_there() -> None:
    by_name = {
        each.name.removesuffix("_total") + suffix: set(each.labels) for each in ALL for suffix in SUFFIXES[each.kind]
    }
    for text in expressions():
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in re.split(r",\s*", group)}
        filtered = {label for part in re.findall(r"\{([^}]*)\}", text) for label in re.findall(r"(\w+)\s*[!=]", part)}
        known = set().union(*(by_name.get(name, set()) for name in re.findall(r"\w+", text)))
        assert (grouped | filtered) - PLUMBING <= known, text


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(expressions())
    assert [each.name for each in ALL if each.name not in shown] == []
