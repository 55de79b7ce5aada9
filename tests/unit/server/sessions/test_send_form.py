"""A large request reaches the gateway once, not in two forms: the gateway is asked for the form that it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.demo.http_bodies import EMBEDDED_ERROR, NEWER_ERROR, STANDALONE_ERROR
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.sessions.send_form import LARGE
from tests.support.api_clients import CLIENTS, ApiClient
from tests.support.proxy import StartProxy
from tests.support.proxy_harness import StartFront
from tests.support.scripted_gateway import EMPTY_SEND, Agent, Reply, answer, run

pytest_plugins = ["tests.support.proxy_fixtures"]

PARAMETERS = {"type": "object", "properties": {"port": {"type": "string", "description": "d" * LARGE}}}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"type": "function", "function": {"name": "tide", "parameters": PARAMETERS}}],
    "responses": [{"type": "function", "name": "tide", "parameters": PARAMETERS}],
    "messages": [{"name": "tide", "input_schema": PARAMETERS}],
}
FORMS = {STANDALONE_ERROR: "message", EMBEDDED_ERROR: "messages", NEWER_ERROR: "messages"}


def large(api: ApiClient) -> bytes:
    fields = {"max_tokens": 100} if api.name == "messages" else {}
    return json.dumps({**json.loads(api.request("Hi", fields, stream=False)), "tools": TOOLS[api.name]}).encode()


@pytest.mark.parametrize("api", CLIENTS, ids=str)
@pytest.mark.parametrize("error", FORMS)
async def test_tools_are_sent_once_a_turn(proxy: StartProxy, agent: Agent, api: ApiClient, error: str) -> None:
    agent.plays(run("Hello"))
    agent.replies(EMPTY_SEND, answer({"error": error}, 400))
    front = await proxy()
    for _ in range(3):
        assert (await front.post(large(api), path=api.path)).status == 200
    for each in agent.runs:
        assert set(each.json) == {"sessionId", FORMS[error]}
        assert len(each.body) < 1.1 * len(large(api))
    assert [each.route for each in agent.exchanges].count(EMPTY_SEND) == 1


async def test_a_small_request_asks_nothing(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    assert (await (await proxy()).chat(stream=False)).status == 200
    assert EMPTY_SEND not in [each.route for each in agent.exchanges]
    assert set(agent.runs[0].json) == {"sessionId", "message", "messages"}


async def test_a_gateway_that_does_not_tell_its_form_gets_both(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for _ in range(2):
        assert (await front.chat("Hi" * LARGE)).status == 200
    assert all(set(each.json) == {"sessionId", "message", "messages"} for each in agent.runs)
    assert [each.route for each in agent.exchanges].count(EMPTY_SEND) == 1


async def test_another_gateway_at_the_same_address_is_asked_again(proxy: StartProxy, agent: Agent) -> None:
    """The gateway rejects one run; then it is asked for its form."""
    refused = answer({"error": STANDALONE_ERROR}, 400)
    agent.replies(EMPTY_SEND, answer({"error": NEWER_ERROR}, 400), refused)
    agent.replies("/send", Reply(run("Hello")), refused, Reply(run("Hello")))
    front = await proxy()
    statuses = [(await front.chat("Hi" * LARGE, stream=False)).status for _ in range(3)]
    assert statuses == [200, 502, 200]
    assert set(agent.runs[-1].json) == {"sessionId", "message"}


@pytest.mark.parametrize("wire", ["0.9", "0.14"])
@pytest.mark.parametrize("form", ["standalone", "embedded"])
async def test_every_gateway_reads_the_form_that_it_names(front: StartFront, wire: Any, form: Any) -> None:
    there = await front(GatewaySettings(pace=0, wire=wire, form=form, close_works=True))
    for _ in range(2):
        assert (await there.ask("Hi" * LARGE, model="echo")).text == "Hi" * LARGE
    sent = [body for path, body in there.gateway_state.requests if path == "/send"]
    assert sent[0] == b"{}"
    assert all(len(body) < 3 * LARGE for body in sent)
