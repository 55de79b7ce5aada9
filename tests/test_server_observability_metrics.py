"""What a run's report becomes in the exposition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent import OPENING, Agent, closing, frame, run, text
from conftest import StartProxy
from exposition import Exposition, scrape
from prometheus_client import CollectorRegistry, generate_latest

from oaicompat_proxy.core.errors import AgentError, ModelNotFound
from oaicompat_proxy.server.observability import multiprocess as shared_metrics
from oaicompat_proxy.server.observability.metrics import MOST_MODELS, SOON, Metrics
from oaicompat_proxy.server.observability.run_report import RunReport, Traffic


class House:
    """Metrics by themselves; `known` are the names of models that are known without asking."""

    def __init__(self, *known: str) -> None:
        self._registry = CollectorRegistry()
        self._metrics = Metrics(
            self._registry, lambda model, *, answered: answered or model in known, provider="agentick"
        )

    def tell(self, model: str, error: Exception | None = None) -> None:
        report = RunReport("chat", Traffic())
        report.note_request(model, stream=True)
        if error is not None:
            report.fail(error)
        report.end(sent=1)
        self._metrics.observe(report)

    def scrape(self) -> Exposition:
        self._metrics.settle()
        return Exposition(generate_latest(self._registry).decode())


def test_a_name_that_nobody_knows_has_no_series() -> None:
    house = House("demo")
    for number in range(100):
        house.tell(f"made-up-{number}", ModelNotFound("no such app"))
    house.tell("demo", AgentError("failed"))
    models = {labels["gen_ai_request_model"] for labels in house.scrape().labels("oaicompat_runs_total")}
    assert models == {"other", "demo"}


def test_a_model_that_has_answered_is_one() -> None:
    house = House()
    house.tell("owl", AgentError("failed"))
    house.tell("owl")
    house.tell("owl", AgentError("failed"))
    metrics = house.scrape()
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="other") == 1
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="owl") == 2


def test_there_are_only_so_many_models() -> None:
    house = House()
    for number in range(MOST_MODELS + 10):
        house.tell(f"model-{number}")
    metrics = house.scrape()
    models = {labels["gen_ai_request_model"] for labels in metrics.labels("oaicompat_runs_total")}
    assert len(models) == MOST_MODELS + 1
    assert metrics.total("oaicompat_runs_total", gen_ai_request_model="other") == 10


async def test_other_workers_can_tell_of_a_run_soon() -> None:
    with shared_metrics.sharing():
        House("demo").tell("demo")
        await asyncio.sleep(2 * SOON)
        assert 'model="demo"' in generate_latest(shared_metrics.gather()).decode()


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
