from __future__ import annotations

import json

import pytest

from oaicompat_proxy.core.build import FORM
from oaicompat_proxy.demo.http_bodies import EMBEDDED_ERROR, NEWER_ERROR, STANDALONE_ERROR
from tests.support.demo import Demo
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import EMPTY_SEND, OPENING, Agent, Reply, answer, failure
from tests.unit.server.endpoints.test_models import apps


async def test_a_proxy_lives_without_its_gateway(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", Reply(["cut"], framing="raw"))
    received = await (await proxy()).get("/healthz")
    assert (received.status, json.loads(received.body)) == (200, {"status": "ok", "form": FORM})
    assert agent.exchanges == [], "the gateway is not asked: a restart would not help it"


@pytest.mark.parametrize("reply", [apps("demo"), answer({"error": "Unknown method: apps"}, 400)])
async def test_a_proxy_is_ready_when_its_gateway_answers(proxy: StartProxy, agent: Agent, reply: Reply) -> None:
    agent.replies("/invoke", reply)
    received = await (await proxy()).get("/readyz")
    assert (received.status, received.headers["Content-Type"].split(";")[0]) == (200, "application/json")
    assert agent.runs == [], "a check runs nothing"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"error": "Authentication failed"}, 401),
        answer({"error": "Forbidden"}, 403),
        answer({"error": "Internal server error"}, 500),
        answer({"error": "Bad gateway"}, 502),
        Reply(["cut"], framing="raw"),
        Reply(["reset"], framing="raw"),
        Reply([b"SSH-2.0-OpenSSH_9.6\r\n", "cut"], framing="raw"),
    ],
)
async def test_a_proxy_is_not_ready_without_its_gateway_and_says_why(
    proxy: StartProxy, agent: Agent, reply: Reply
) -> None:
    agent.replies("/invoke", reply)
    received = await (await proxy()).get("/readyz")
    assert received.status == 503
    assert json.loads(received.body)["reason"]


PAGE = Reply([b"<h1>Welcome</h1>"], 200, "text/html", "length")
NOT_FOUND = Reply([b"Cannot POST"], 404, "text/html", "length")
JSON_NOT_FOUND = answer({"detail": "Not Found"}, 404)


@pytest.mark.parametrize("reply", [PAGE, NOT_FOUND, JSON_NOT_FOUND])
async def test_another_server_at_the_address_is_no_gateway(proxy: StartProxy, agent: Agent, reply: Reply) -> None:
    agent.replies("/invoke", reply)
    agent.replies("/send", reply)
    received = await (await proxy()).get("/readyz")
    assert received.status == 503
    assert "--upstream" in json.loads(received.body)["reason"]


@pytest.mark.parametrize(
    "unknown_app", [Reply([*OPENING, failure('Unknown app "x". Available: y')]), answer({"error": "Unknown app"}, 404)]
)
async def test_a_gateway_of_which_only_runs_can_be_reached(proxy: StartProxy, agent: Agent, unknown_app: Reply) -> None:
    agent.replies("/invoke", NOT_FOUND)
    agent.replies("/send", unknown_app)
    assert (await (await proxy()).get("/readyz")).status == 200
    assert [each.route for each in agent.exchanges] == ["/invoke", EMPTY_SEND, "/send"]
    assert agent.runs == [], "a check runs nothing"


@pytest.mark.parametrize("rejection", [STANDALONE_ERROR, EMBEDDED_ERROR, NEWER_ERROR])
async def test_a_gateway_of_which_only_runs_can_be_reached_runs_none(
    proxy: StartProxy, agent: Agent, rejection: str
) -> None:
    """Behind a server that allows nothing else, one that takes unknown apps for its default app would run it."""
    agent.replies("/invoke", NOT_FOUND)
    agent.replies(EMPTY_SEND, answer({"error": rejection}, 400))
    assert (await (await proxy()).get("/readyz")).status == 200
    assert [each.route for each in agent.exchanges] == ["/invoke", EMPTY_SEND]


async def test_a_gateway_that_was_found_stays_one(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that looks closely each time could fail for less than a reason to take the proxy out."""
    monkeypatch.setattr("oaicompat_proxy.server.upstream.readiness.CACHE_SECONDS", 0.0)
    agent.replies("/invoke", answer({}, 429))
    front = await proxy()
    assert (await front.get("/readyz")).status == 200
    for reply in (apps("demo"), NOT_FOUND):
        agent.replies("/invoke", reply)
        assert (await front.get("/readyz")).status == 200
    assert agent.runs == []


async def test_the_log_says_once_why_a_proxy_is_not_ready(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Kubernetes shows the status of a probe, and not its body."""
    monkeypatch.setattr("oaicompat_proxy.server.upstream.readiness.CACHE_SECONDS", 0.0)
    caplog.set_level("INFO", "oaicompat_proxy.server.upstream.readiness")
    front = await proxy()
    reasons = []
    for reply in (apps("demo"), *[answer({"error": "Internal server error"}, 500)] * 2, *[apps("demo")] * 2):
        agent.replies("/invoke", reply)
        reasons.append(json.loads((await front.get("/readyz")).body).get("reason"))
    lines = [each for each in caplog.records if each.name.endswith(".readiness")]
    assert [each.levelname for each in lines] == ["WARNING", "INFO"]
    assert [each.getMessage() for each in lines] == [f"not ready: {reasons[1]}", "ready again"]


async def test_a_gateway_that_says_nothing_is_no_gateway(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    assert (await (await proxy(silence_timeout=0.1)).get("/readyz")).status == 503


async def test_the_demo_is_ready(demo: Demo) -> None:
    assert (await demo.proxy.get("/readyz")).status == 200


async def test_health_answers_head(demo: Demo) -> None:
    received = await demo.proxy.request("HEAD", "/healthz")
    assert (received.status, received.body) == (200, b"")
