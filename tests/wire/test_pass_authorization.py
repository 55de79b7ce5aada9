"""The gateway knows only its callers' own tokens, and none of ours (setting `pass_authorization`).

All is done with theirs: the demo gateway with a token, in every form and on both wires.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import check_error_body
from tests.support.proxy import StartProxy, chat_body
from tests.support.proxy_harness import Chat, StartFront, result
from tests.support.scripted_gateway import Agent, answer, run

pytest_plugins = ["tests.support.proxy_fixtures"]

TOKEN = "callers-own"
PASSES: dict[str, Any] = {"pass_authorization": True}
FORMS = {
    "embedded, 0.9": GatewaySettings(form="embedded", release="0.9.4", token=TOKEN, pace=0.005),
    "standalone, 0.9": GatewaySettings(form="standalone", release="0.9.4", token=TOKEN, pace=0.005),
    "embedded, 0.14": GatewaySettings(form="embedded", wire="0.14", token=TOKEN, pace=0.005),
    "standalone, 0.14": GatewaySettings(form="standalone", wire="0.14", token=TOKEN, pace=0.005),
}
in_every_form = pytest.mark.parametrize("form", FORMS)


@in_every_form
async def test_nothing_stays_open(front: StartFront, form: str) -> None:
    there = await front(FORMS[form], **PASSES)
    for _ in range(3):
        assert (await there.ask("Hello", key=TOKEN)).finish_reason == "stop"
    await there.until(lambda: not there.sessions, within=5)


@in_every_form
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_its_run(front: StartFront, form: str, stream: bool) -> None:
    there = await front(FORMS[form], **PASSES)
    line = await there.line("[[scenario:long]]", stream=stream, key=TOKEN)
    await there.until(lambda: there.running)
    await line.close()
    await there.until(lambda: there.runs[0].status == "aborted", within=5)
    await there.at_rest()


@pytest.mark.parametrize("form", ["embedded, 0.14", "standalone, 0.14"])
async def test_a_confirmation_is_passed_on_with_it(front: StartFront, form: str) -> None:
    there = await front(FORMS[form], **PASSES, confirmations="ask")
    chat = Chat(there, key=TOKEN)
    ((token, _, _),) = (await chat.say("[[scenario:confirm]]")).tool_calls
    assert (await chat.add(result(token, "yes"))).text == "It is over."
    await there.at_rest()


@in_every_form
async def test_a_kept_session_is_closed_with_it_when_its_time_is_over(front: StartFront, form: str) -> None:
    there = await front(FORMS[form], **PASSES, sessions="recognise", max_sessions=1)
    for text in ("One", "Two", "Three"):
        await Chat(there, key=TOKEN).say(text)
    await there.until(lambda: len(there.sessions) <= 1, within=5)
    there.keep_sessions()


@in_every_form
async def test_models_are_those_that_the_caller_may_see(front: StartFront, form: str) -> None:
    there = await front(FORMS[form], **PASSES)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    listed = await there.proxy.request("GET", "/v1/models", headers=headers)
    assert "demo" in [each["id"] for each in json.loads(listed.body)["data"]]
    other = await there.proxy.request("GET", "/v1/models", headers={"Authorization": "Bearer another"})
    assert (other.status, check_error_body(other.body)["code"]) == (401, "invalid_api_key")


@in_every_form
async def test_it_is_ready_and_says_what_it_does_not_know(front: StartFront, form: str) -> None:
    there = await front(FORMS[form], **PASSES)
    ready = await there.proxy.get("/readyz")
    report = json.loads(ready.body)
    assert (ready.status, report["status"]) == (200, "ok")
    assert "without a caller's credentials (401)" in report["note"]


async def test_with_a_token_of_ours_a_refusal_is_no_readiness(front: StartFront) -> None:
    there = await front(FORMS["embedded, 0.14"], **PASSES, upstream_token="wrong")
    assert (await there.proxy.get("/readyz")).status == 503


async def test_a_close_that_is_refused_is_no_close(proxy: StartProxy, agent: Agent) -> None:
    """It is counted, and not tried again."""
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"error": "Authentication failed"}, 401))
    front = await proxy()
    await front.post(chat_body())
    agent.kept_sessions.add(agent.runs[0].session)
    await agent.until(lambda: [each for each in agent.exchanges if each.path == "/invoke"])
    metrics = (await front.get("/metrics")).body.decode()
    paths = [each.path for each in agent.exchanges]
    assert (paths.count("/invoke"), "/close" in paths) == (1, False)
    assert "oaicompat_sessions_close_failures_total 1.0" in metrics
