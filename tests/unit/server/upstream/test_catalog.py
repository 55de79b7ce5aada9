from __future__ import annotations

import asyncio
import json

import pytest

from oaicompat_proxy.server.upstream.catalog import MAX_APPS
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer, failure, run
from tests.unit.server.endpoints.test_models import apps, refusal


async def app_of(front: Proxy, agent: Agent, model: str | None) -> str:
    """The app that a request for this model is put to; "" is the gateway's default."""
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    received = await front.post(json.dumps(body if model is None else {**body, "model": model}).encode())
    assert received.status == 200, received.body
    return agent.runs[-1].session.rpartition(":")[0]


@pytest.mark.parametrize(
    ("model", "app"), [("coder", "coder"), ("team/coder", "team/coder"), ("default", ""), ("", ""), (None, "")]
)
async def test_a_model_is_the_app_of_its_name(proxy: StartProxy, agent: Agent, model: str | None, app: str) -> None:
    agent.plays(run("Hello"))
    assert await app_of(await proxy(), agent, model) == app


@pytest.mark.parametrize(("model", "app"), [("gpt-4o", "coder"), ("ft:gpt", "tuned"), ("any", ""), ("other", "other")])
async def test_a_model_may_be_configured_to_be_another_app(
    proxy: StartProxy, agent: Agent, model: str, app: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(model={"gpt-4o": "coder", "ft:gpt": "tuned", "any": ""})
    assert await app_of(front, agent, model) == app


@pytest.mark.parametrize(
    ("model", "app"),
    [
        ("gpt-4o", "coder"),
        ("gpt-4o-mini", "mini"),
        ("gpt-5", "big"),
        ("o1", "thinker"),
        ("o", "o"),
        ("GPT-4o", "GPT-4o"),
    ],
)
async def test_a_name_wins_over_patterns_and_the_longest_pattern_over_others(
    proxy: StartProxy, agent: Agent, model: str, app: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(model={"gpt-*": "coder", "gpt-*-mini": "mini", "gpt-5": "big", "o?": "thinker"})
    assert await app_of(front, agent, model) == app


async def test_patterns_are_not_on_the_list(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("coder"))
    front = await proxy(model={"gpt-*": "coder", "mine": "coder"})
    listed = [each["id"] for each in json.loads((await front.get("/v1/models")).body)["data"]]
    assert listed == ["mine", "coder", "default"]


async def test_the_answer_names_the_model_as_the_client_did(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy(model={"gpt-4o": "coder"})).chat(stream=False, model="gpt-4o")
    assert json.loads(received.body)["model"] == "gpt-4o"


@pytest.mark.parametrize("model", ["ft:gpt", "coder:someone-elses-session", ":x", ":"])
async def test_a_model_cannot_name_a_session(proxy: StartProxy, agent: Agent, model: str) -> None:
    """A session's key is cut at its first colon: a name with a colon would address another's session."""
    received = await (await proxy()).chat(model=model)
    assert (received.status, check_error_body(received.body)["code"]) == (404, "model_not_found")
    assert agent.exchanges == []


async def test_whether_there_is_such_an_app_is_the_gateways_to_say(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(failure('Unknown app "nope". Available: demo'))
    received = await (await proxy()).chat(model="nope")
    error = check_error_body(received.body)
    assert (received.status, error["code"]) == (404, "model_not_found")
    assert "`nope`" in error["message"]
    assert "demo" not in error["message"]


async def test_a_list_is_kept_for_its_life(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("demo"))
    front = await proxy(models_ttl=3600)
    await asyncio.gather(*(front.get("/v1/models") for _ in range(10)))
    assert [each.json["method"] for each in agent.exchanges if each.path == "/invoke"] == ["apps"]


async def test_a_list_that_is_too_old_is_asked_for_again(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("old"), apps("new"))
    front = await proxy(models_ttl=0)
    assert [b"new" in (await front.get("/v1/models")).body for _ in range(2)] == [False, True]


async def test_a_failed_question_is_asked_again(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", answer({"error": "Authentication failed"}, 401), apps("demo"))
    front = await proxy(models_ttl=3600)
    assert [(await front.get("/v1/models")).status for _ in range(2)] == [502, 200]


async def test_an_app_may_be_called_default(proxy: StartProxy, agent: Agent) -> None:
    """Then the name means that app, once the gateway has listed it, and is listed once."""
    agent.replies("/invoke", apps("main", "default"))
    agent.plays(run("Hello"))
    front = await proxy(models_ttl=3600)
    listed = json.loads((await front.get("/v1/models")).body)["data"]
    assert [model["id"] for model in listed] == ["main", "default"]
    assert await app_of(front, agent, "default") == "default"


async def test_asking_a_gateway_without_a_list_leaves_no_run(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", refusal("demo"))
    front = await proxy()
    await front.get("/v1/models")
    asked = [each for each in agent.exchanges if each.path == "/send"]
    assert len(asked) == 1
    assert len(asked[0].session) > 8, "nobody has an app of that name"
    await agent.until(lambda: asked[0].outcome == "played")


async def test_a_gateway_that_runs_what_it_should_refuse_is_not_read_for_ever(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(run("I am the only app, and answer to every name.")))
    received = await (await proxy()).get("/v1/models")
    assert received.status == 502
    assert "--model" in check_error_body(received.body)["message"]


# A pattern takes what the gateway does not have


async def test_a_catch_all_leaves_the_gateways_own_apps_alone(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("coder", "writer"))
    agent.plays(run("Hello"))
    front = await proxy(model={"*": "coder", "mine": "writer"}, models_ttl=3600)
    for model, app in (
        ("writer", "writer"),
        ("gpt-4o", "coder"),
        ("ft:gpt", "coder"),
        ("mine", "writer"),
        ("", "coder"),
    ):
        assert await app_of(front, agent, model) == app
    listed = [each["id"] for each in json.loads((await front.get("/v1/models")).body)["data"]]
    assert listed == ["mine", "coder", "writer", "default"]
    asked = [each for each in agent.exchanges if each.path == "/invoke" and each.json["method"] == "apps"]
    assert len(asked) == 1


async def test_so_does_one_on_a_gateway_that_only_names_them(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", refusal("coder", "writer"), Reply(run("Hello")))
    front = await proxy(model={"*": "coder"}, models_ttl=3600)
    assert await app_of(front, agent, "writer") == "writer"


@pytest.mark.slow
async def test_a_gateway_that_reports_nothing_keeps_nobody_waiting(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", answer({"error": "no"}, 500))
    agent.plays(run("Hello"))
    front = await proxy(model={"*": "coder"})
    assert await app_of(front, agent, "anything") == "coder"
    agent.kept_sessions.add(agent.runs[0].session)


@pytest.mark.parametrize("name", ["llama3:8b", "ft:gpt-4o:org::id", "a:b/c:d", ":x"])
async def test_a_configured_name_may_hold_a_colon(proxy: StartProxy, agent: Agent, name: str) -> None:
    """In requests, on the list, by itself, and with settings of its own."""
    agent.replies("/invoke", apps("coder"))
    agent.plays(run("Hello"))
    front = await proxy(model={name: "coder"}, model_setting={f"{name}:history": "last"})
    assert await app_of(front, agent, name) == "coder"
    assert name in [each["id"] for each in json.loads((await front.get("/v1/models")).body)["data"]]
    assert json.loads((await front.get(f"/v1/models/{name}")).body)["id"] == name


async def test_an_app_that_cannot_be_addressed_is_not_listed(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("coder", "no:way"))
    listed = [each["id"] for each in json.loads((await (await proxy()).get("/v1/models")).body)["data"]]
    assert listed == ["coder", "default"]


@pytest.mark.parametrize(
    "text", ['Unknown app "nope". Available: demo', "Unknown app: nope", "Unknown app", 'Unknown app "a"']
)
@pytest.mark.parametrize("stream", [True, False])
async def test_every_text_that_begins_so_means_an_unknown_model(
    proxy: StartProxy, agent: Agent, text: str, stream: bool
) -> None:
    agent.plays(failure(text))
    received = await (await proxy()).chat(model="nope", stream=stream)
    assert (received.status, check_error_body(received.body)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_also_where_it_is_said_with_a_status(proxy: StartProxy, agent: Agent, status: int) -> None:
    agent.replies("/send", answer({"error": "Unknown app: nope"}, status))
    received = await (await proxy()).chat(model="nope")
    assert (received.status, check_error_body(received.body)["code"]) == (404, "model_not_found")


async def test_a_list_of_any_length_is_bounded(proxy: StartProxy, agent: Agent) -> None:
    """An error's text may name millions of apps."""
    named = ", ".join(f"a{number}" for number in range(MAX_APPS + 10))
    agent.plays(failure(f'Unknown app "nope". Available: {named}'))
    listed = json.loads((await (await proxy()).get("/v1/models")).body)["data"]
    assert len(listed) == MAX_APPS + len(["default"])


async def test_models_are_owned_by_what_is_spoken(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("coder"))
    front = await proxy()
    listed = json.loads((await front.get("/v1/models")).body)["data"]
    one = json.loads((await front.get("/v1/models/coder")).body)
    assert {each["owned_by"] for each in [*listed, one]} == {"agentick"}
