from __future__ import annotations

import json

import pytest

from oaicompat_proxy.core.build import FORM
from tests.support.demo import Demo
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer
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


async def test_a_gateway_that_says_nothing_is_no_gateway(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    assert (await (await proxy(silence_timeout=0.1)).get("/readyz")).status == 503


async def test_the_demo_is_ready(demo: Demo) -> None:
    assert (await demo.proxy.get("/readyz")).status == 200


async def test_health_answers_head(demo: Demo) -> None:
    received = await demo.proxy.request("HEAD", "/healthz")
    assert (received.status, received.body) == (200, b"")
