"""Runs as a scrape shows them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.server.observability import multiprocess as shared_metrics
from oaicompat_proxy.server.observability.metrics import MAX_BUFFERED, MAX_MODELS, Metrics
from oaicompat_proxy.server.observability.run_report import RunSummary
from tests.support.prometheus_text import Exposition, scrape
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, frame, run, text


class Scene:
    """Metrics by themselves. `known`: names of models that the gateway lists."""

    def __init__(self, *known: str) -> None:
        self._registry = CollectorRegistry()
        self._metrics = Metrics(
            self._registry, lambda model, *, answered: answered or model in known, provider="agentick"
        )

    def observe(self, model: str, outcome: str = "success", **fields: Any) -> None:
        self._metrics.observe(RunSummary("chat", model=model, outcome=outcome, **fields))

    def scrape(self) -> Exposition:
        self.flush()
        return Exposition(generate_latest(self._registry).decode())

    def flush(self) -> None:
        self._metrics.flush()


def test_a_name_that_nobody_knows_has_no_series() -> None:
    scene = Scene("demo")
    for number in range(100):
        scene.observe(f"made-up-{number}", "refused")
    scene.observe("demo", "agent_error")
    models = {labels["gen_ai_request_model"] for labels in scene.scrape().labels("oaicompat_runs_total")}
    assert models == {"other", "demo"}


def test_a_model_that_has_answered_is_one() -> None:
    scene = Scene()
    scene.observe("owl", "agent_error")
    scene.observe("owl")
    scene.observe("owl", "agent_error")
    metrics = scene.scrape()
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="other") == 1
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="owl") == 2


def test_there_are_only_so_many_models() -> None:
    scene = Scene()
    for number in range(MAX_MODELS + 10):
        scene.observe(f"model-{number}")
    metrics = scene.scrape()
    models = {labels["gen_ai_request_model"] for labels in metrics.labels("oaicompat_runs_total")}
    assert len(models) == MAX_MODELS + 1
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="other") == 10


@pytest.mark.slow
def test_another_worker_shows_a_run_that_was_flushed() -> None:
    with shared_metrics.sharing():
        scene = Scene("demo")
        scene.observe("demo")
        scene.flush()
        assert 'model="demo"' in generate_latest(shared_metrics.gather()).decode()


def test_a_summary_is_in_the_series_of_its_labels() -> None:
    scene = Scene("owl")
    fields: dict[str, Any] = {"stream": True, "first_event": 0.5, "first_token": 0.75, "duration": 2.0}
    fields |= {"usage": Usage(10, 5, 15), "chunks": 3}
    for _ in range(2):
        scene.observe("owl", finish_reason="stop", **fields)
    scene.observe("owl", "timeout", error_type="upstream_timeout", **fields)
    scene.observe("owl", "client_gone", error_type="client_gone", is_retry=True)
    metrics = scene.scrape()

    def total(name: str, **labels: str) -> float:
        return metrics.total(name, gen_ai_request_model="owl", **labels)

    assert total("oaicompat_runs_total") == 4
    assert total("oaicompat_runs_total", outcome="success", finish_reason="stop") == 2
    assert total("gen_ai_server_request_duration_seconds_sum", error_type="upstream_timeout") == 2.0
    assert total("gen_ai_server_request_duration_seconds_count", error_type="") == 2
    assert total("oaicompat_time_to_first_event_seconds_sum") == 1.5
    assert total("gen_ai_server_time_to_first_token_seconds_sum") == 2.25
    assert total("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 30
    assert total("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 15
    assert total("oaicompat_chunks_total") == 9
    assert metrics.total("oaicompat_upstream_errors_total", error_type="upstream_timeout") == 1
    assert metrics.total("oaicompat_client_disconnects_total") == 1
    assert metrics.total("oaicompat_retries_total", what="request") == 1


def test_stages_and_sides_are_there_from_the_start() -> None:
    metrics = Scene().scrape()
    assert {labels["stage"] for labels in metrics.labels("oaicompat_added_seconds_count")} == {"call", "first_token"}
    assert len(metrics.labels("oaicompat_bytes_total")) == 4


async def test_what_a_streamed_run_did_is_in_numbers(proxy: StartProxy, agent: Agent) -> None:
    agent.plays([*OPENING, text("Hel"), text("lo")], frame("tick_start", tick=2), closing(used=11, made=7))
    front = await proxy()
    received = await front.chat()
    metrics = await scrape(front)
    run_labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "agentick",
        "gen_ai_request_model": "default",
    }
    assert metrics.total("oaicompat_runs_total", outcome="success", finish_reason="stop") == 1
    tokens = "gen_ai_client_token_usage_sum"
    assert metrics.total(tokens, gen_ai_token_type="input", **run_labels) == 11
    assert metrics.total(tokens, gen_ai_token_type="output", **run_labels) == 7
    assert metrics.total("oaicompat_ticks_total", gen_ai_request_model="default") == 2
    sent = received.body.count(b"data: {")
    assert metrics.total("oaicompat_chunks_total", gen_ai_request_model="default") == sent == 4
    for name in ("gen_ai_server_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds"):
        assert metrics.total(f"{name}_count", **run_labels) == 1
    whole = metrics.total("gen_ai_server_request_duration_seconds_sum")
    first_token = metrics.total("gen_ai_server_time_to_first_token_seconds_sum")
    first_event = metrics.total("oaicompat_time_to_first_event_seconds_sum")
    added = [metrics.total("oaicompat_added_seconds_sum", stage=stage) for stage in ("call", "first_token")]
    assert 0 < added[0] + first_event + added[1] <= first_token <= whole < 5


async def test_bytes_are_those_of_both_sides(proxy: StartProxy, agent: Agent) -> None:
    played = run("Hello")
    agent.plays(played)
    front = await proxy()
    body = b'{"model": "default", "messages": [{"role": "user", "content": "Hi"}]}'
    received = await front.post(body)
    metrics = await scrape(front)

    def count(side: str, direction: str) -> float:
        return metrics.total("oaicompat_bytes_total", side=side, direction=direction)

    assert count("client", "received") == len(body)
    assert len(received.body) < count("client", "sent") < len(received.body) + 1000
    assert count("gateway", "sent") == len(agent.runs[0].body)
    *_, closing = played  # nothing is read behind the run's own end, unless it came with it
    assert count("gateway", "received") in (len(b"".join(played)), len(b"".join(played)) - len(closing))


async def test_an_answer_that_is_not_streamed_has_no_chunks_and_no_first_token(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await front.chat(stream=False)
    metrics = await scrape(front)
    assert metrics.total("oaicompat_chunks_total") == 0
    assert metrics.total("gen_ai_server_time_to_first_token_seconds_count") == 0
    assert metrics.total("oaicompat_time_to_first_event_seconds_count") == 1


@pytest.mark.parametrize(
    ("settings", "body", "chunks"),
    [
        ({"reasoning_field": "none"}, {}, 3),
        ({}, {}, 4),
        ({}, {"stream_options": {"include_usage": True}}, 5),
    ],
)
async def test_chunks_are_those_that_were_sent(
    proxy: StartProxy, agent: Agent, settings: dict[str, Any], body: dict[str, Any], chunks: int
) -> None:
    agent.plays([*OPENING, frame("reasoning_delta", delta="Hm", blockIndex=0), text("Hello")], closing())
    front = await proxy(**settings)
    received = await front.chat(**body)
    assert received.body.count(b"data: {") == chunks
    assert (await scrape(front)).total("oaicompat_chunks_total") == chunks


async def test_what_was_said_is_not_in_it(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("an answer with s3cr3t"))
    front = await proxy()
    headers = {"Authorization": "Bearer s3cr3t", "X-Session-Id": "s3cr3t", "User-Agent": "s3cr3t"}
    body = b'{"model": "default", "user": "s3cr3t", "messages": [{"role": "user", "content": "s3cr3t"}]}'
    await front.post(body, headers=headers)
    await front.post(body.replace(b'"user", ', b'"s3cr3t", '), headers=headers)
    agent.kept_sessions.update(each.session for each in agent.runs)
    metrics = await scrape(front)
    assert metrics.total("oaicompat_runs_total") == 2
    assert "s3cr3t" not in metrics.text


def test_numbers_do_not_pile_up_until_somebody_asks() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, lambda model, *, answered: True, provider="agentick")
    for _ in range(MAX_BUFFERED + 1):
        metrics.observe(RunSummary("chat", model="owl", outcome="success"))
    assert Exposition(generate_latest(registry).decode()).total("oaicompat_runs_total") == MAX_BUFFERED
