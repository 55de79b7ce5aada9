"""Every request for a run is counted once, as what became of it; and then nothing is left of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import sys
from types import FrameType
from typing import Any

import pytest

from oaicompat_proxy.server.answering import answer as answers
from oaicompat_proxy.server.observability.run_report import RunSummary
from oaicompat_proxy.server.observability.telemetry import TELEMETRY
from tests.support.message_parts import request
from tests.support.prometheus_text import Exposition, scrape
from tests.support.proxy import CHAT, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, failure, run, text

RUNS: dict[str, tuple[Any, str, str]] = {
    "a whole run": (Reply(run("Hello")), "success", ""),
    "an error at once": (Reply([failure("the model is gone")]), "agent_error", "agent_error"),
    "an error late": (Reply([*OPENING, text("Hel"), failure("the model is gone")]), "agent_error", "agent_error"),
    "a broken stream": (Reply([*OPENING, text("Hel"), "cut"]), "upstream_error", "upstream_interrupted"),
    "no stream": (answer({"ok": True}), "upstream_error", "upstream_error"),
    "our token is refused": (answer({}, 401), "upstream_error", "upstream_refused"),
    "no such app": (Reply([failure("Unknown app 'default'. Available: demo")]), "refused", "model_not_found"),
    "no word": (Reply(["stall"]), "timeout", "upstream_timeout"),
    "no last word": (Reply([*OPENING, text("Hel"), "stall"]), "timeout", "upstream_timeout"),
}


async def until(front: Proxy, **counts: float) -> Exposition:
    """Scrapes, as Prometheus does, until the gauges of runs have these values."""
    async with asyncio.timeout(5):
        while True:
            metrics = await scrape(front)
            if all(metrics.total(f"oaicompat_runs_{name}") == count for name, count in counts.items()):
                return metrics


def check_only(metrics: Exposition, outcome: str, error: str, *, count: int = 1) -> None:
    assert metrics.total("oaicompat_runs_total") == count, metrics.labels("oaicompat_runs_total")
    assert metrics.total("oaicompat_runs_total", outcome=outcome) == count, metrics.labels("oaicompat_runs_total")
    durations = "gen_ai_server_request_duration_seconds_count"
    assert metrics.total(durations, error_type=error) == metrics.total(durations) == count
    assert metrics.total("oaicompat_runs_running") == metrics.total("oaicompat_runs_waiting") == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", RUNS)
async def test_what_the_agent_does_is_counted_once(proxy: StartProxy, agent: Agent, name: str, stream: bool) -> None:
    reply, outcome, error = RUNS[name]
    agent.replies("/send", reply)
    front = await proxy(silence_timeout=0.2)
    await front.chat(stream=stream)
    metrics = await scrape(front)
    check_only(metrics, outcome, error)
    failed = outcome in ("agent_error", "upstream_error", "timeout")
    assert metrics.total("oaicompat_upstream_errors_total", error_type=error) == failed
    assert metrics.total("oaicompat_upstream_errors_total") == failed
    assert metrics.total("oaicompat_client_disconnects_total") == 0


async def test_a_gateway_that_is_not_there(proxy: StartProxy) -> None:
    front = await proxy(upstream="http://127.0.0.1:9")
    assert (await front.chat()).status == 502
    check_only(await scrape(front), "upstream_error", "upstream_unreachable")


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", "invalid_request_error"), (chat_body(n=2), "invalid_request_error"), (b"x" * 3000, "request_too_large")],
)
async def test_what_is_refused_is_counted_once(proxy: StartProxy, body: bytes, error: str) -> None:
    front = await proxy(max_body=2000)
    assert (await front.post(body)).status in (400, 413)
    check_only(await scrape(front), "refused", error)


async def test_each_api_is_counted_apart(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await front.post(b'{"model": "default", "prompt": "Hi", "stream": true}', path="/v1/completions")
    await front.post(b'{"model": "default", "input": "Hi", "stream": true}', path="/v1/responses")
    await front.chat()
    metrics = await scrape(front)
    check_only(metrics, "success", "", count=3)
    for api, operation in {"chat": "chat", "completion": "text_completion", "responses": "chat"}.items():
        assert metrics.total("oaicompat_runs_total", api=api, gen_ai_operation_name=operation) == 1


async def test_routes_that_run_no_agent_are_not_counted(proxy: StartProxy) -> None:
    front = await proxy(api_key=("key",))
    for path in ("/v1/responses/resp_1", "/v1/models"):
        assert (await front.get(path)).status == 401
    assert "oaicompat_runs_total{" not in (await front.get("/metrics")).body.decode()


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_is_counted_once(proxy: StartProxy, agent: Agent, stream: bool, begun: bool) -> None:
    agent.plays([*OPENING, *([text("Hel")] if begun else [])], asyncio.Event())
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(stream=stream))
    await agent.until(lambda: agent.runs and agent.runs[0].sent)
    if begun and stream:
        await line.read_until(b"Hel")
    metrics = await scrape(front)
    assert metrics.total("oaicompat_runs_running") == 1
    assert metrics.total("oaicompat_runs_total") == 0
    line.reset()
    metrics = await until(front, running=0, waiting=0)
    check_only(metrics, "client_gone", "client_gone")
    assert metrics.total("oaicompat_client_disconnects_total") == 1
    assert metrics.total("oaicompat_runs_cancelled_total") == 1
    assert metrics.total("oaicompat_upstream_errors_total") == 0


async def test_a_client_that_takes_nothing_of_a_stream(proxy: StartProxy, agent: Agent) -> None:
    agent.plays([*OPENING, *[text("x" * 60_000)] * 400], "stall")
    front = await proxy(send_timeout=0.2)
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body())
    await agent.until(lambda: agent.runs)
    check_only(await until(front, running=0), "client_gone", "client_gone")


@pytest.mark.slow
async def test_a_client_that_takes_nothing_of_a_whole_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(*["x" * 60_000] * 400))
    front = await proxy(send_timeout=0.2)
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body(stream=False))
    await agent.until(lambda: agent.runs)
    check_only(await until(front, running=0), "client_gone", "client_gone")


async def test_a_fault_of_ours(proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "AnswerStream", broken)
    agent.plays(run("Hello"))
    front = await proxy()
    assert (await front.chat()).status == 500
    check_only(await scrape(front), "internal_error", "server_error")


async def test_a_second_run_of_a_session_waits(proxy: StartProxy, agent: Agent) -> None:
    ends = asyncio.Event()
    agent.plays([*OPENING, text("Hello")], ends, run()[3:])
    front = await proxy()

    async def ask() -> int:
        return (await front.post(chat_body(), headers={"X-Session-Id": "mine"})).status

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    metrics = await until(front, waiting=1)
    assert metrics.total("oaicompat_runs_running") == 1
    assert metrics.total("oaicompat_sessions_locked") == 1
    ends.set()
    assert [await first, await second] == [200, 200]
    agent.kept_sessions.update(each.session for each in agent.runs)
    metrics = await until(front, running=0, waiting=0)
    check_only(metrics, "success", "", count=2)


async def test_a_repeated_request_is_marked_by_the_official_clients(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for count in ("0", "1", "2"):
        await front.post(chat_body(), headers={"x-stainless-retry-count": count})
    assert (await scrape(front)).total("oaicompat_retries_total", what="request") == 2


async def test_an_observer_that_fails_hurts_nobody(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    observed: list[RunSummary] = []

    def fails(_run: RunSummary) -> None:
        raise ZeroDivisionError

    agent.plays(run("Hello"))
    front = await proxy()
    front.app[TELEMETRY].observers[:] = [fails, observed.append]
    assert (await front.chat()).status == 200
    assert [each.outcome for each in observed] == ["success"]
    assert "reporting the run failed" in caplog.text


async def test_what_is_no_run_is_not_reported(proxy: StartProxy) -> None:
    front = await proxy(model={"demo": ""})
    for path in ("/v1/models", "/healthz", "/readyz", "/nope", CHAT):
        await front.get(path)
    assert (await scrape(front)).total("oaicompat_runs_total") == 0


async def test_who_has_no_key_is_refused_and_counted(proxy: StartProxy) -> None:
    front = await proxy(api_key=("s3cr3t",))
    assert (await front.chat()).status == 401
    assert (await front.get("/v1/models")).status == 401
    check_only(await scrape(front), "refused", "invalid_request_error")


async def test_who_asks_too_often_is_refused_and_counted(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(requests_per_minute=1)
    assert [(await front.chat()).status for _ in range(2)] == [200, 429]
    metrics = await scrape(front)
    assert metrics.total("oaicompat_runs_total") == 2
    assert metrics.total("oaicompat_runs_total", outcome="refused") == 1
    assert metrics.total("gen_ai_server_request_duration_seconds_count", error_type="rate_limit_exceeded") == 1


async def test_the_status_is_the_one_that_the_client_gets(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """Anthropic's API has a status of its own for a server without room."""
    agent.plays("stall")
    front = await proxy(max_runs=1, max_waiting=0)
    first = asyncio.create_task(front.chat())
    await agent.until(lambda: agent.runs)
    caplog.set_level(logging.INFO, "oaicompat_proxy.runs")
    assert (await front.chat()).status == 503
    assert (await front.post(request(), path="/v1/messages")).status == 529
    first.cancel()
    assert [found for line in caplog.messages for found in re.findall(r"status=(\d+)", line)][:2] == ["503", "529"]


async def test_a_run_is_counted_once_however_many_read_its_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for _ in range(3):
        received = await front.post(chat_body(), headers={"Idempotency-Key": "k"})
        assert received.status == 200
    assert len(agent.runs) == 1
    check_only(await scrape(front), "success", "")


@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_is_done_for_a_chunk(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """As many calls of what reports for a long answer as for a short one."""
    names = ("http/reporting", *(f"observability/{name}" for name in ("run_report", "metrics", "run_log", "gauges")))
    ours = {f"oaicompat_proxy/server/{name}.py" for name in names}
    front = await proxy()
    counts = []
    for pieces in (2, 2, 500):
        agent.plays(OPENING, *[text("x")] * pieces, run()[3:])
        calls = 0

        def count(frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            code = frame.f_code
            goes_on = code.co_flags & inspect.CO_COROUTINE  # no call, but a coroutine that is waked up
            calls += event == "call" and not goes_on and code.co_filename.endswith(tuple(ours))

        sys.setprofile(count)
        try:
            received = await front.chat(stream=stream)
        finally:
            sys.setprofile(None)
        assert received.body.count(b"x") >= pieces
        counts.append(calls)
    _, short, long = counts
    assert 0 < long <= short + 3  # what comes before the first word may come in one read or in several
