"""Users behind one key, socket to socket: the agent's input, the shared limits, and names that no client may claim."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.proxy import CHAT, Proxy, Received, StartProxy, chat_body
from tests.support.proxy_harness import Chat, StartFront
from tests.support.scripted_gateway import Agent, Reply, run

pytest_plugins = ["tests.support.proxy_fixtures"]

LOOPBACK: dict[str, Any] = {"user_from": ("header:X-User",), "trust_user_from": ("127.0.0.1",)}
FIELD: dict[str, Any] = {"user_from": ("user",)}
RESPONSES = "/v1/responses"


def named(user: str) -> dict[str, str]:
    return {"X-User": user}


def entries(path: Path, **more: str) -> str:
    file = path / "keys.toml"
    file.write_text(
        "".join(
            f'[keys.{name}]\nhash = "{hashlib.sha256(name.encode()).hexdigest()}"\n{lines}\n'
            for name, lines in more.items()
        )
    )
    return str(file)


async def respond(front: Proxy, text: str, **fields: Any) -> Received:
    return await front.post(json.dumps({"model": "default", "input": text, **fields}).encode(), path=RESPONSES)


# What the agent gets


@pytest.mark.parametrize("stream", [True, False])
async def test_a_user_reaches_an_agentick_gateway(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**LOOPBACK)
    assert (await front.post(chat_body(stream=stream, user="mallory"), headers=named("ada"))).status == 200
    sent = agent.runs[0].json
    assert sent["metadata"] == {"user": "ada"}
    assert sent["messages"][-1]["metadata"]["user"] == sent["message"]["metadata"]["user"] == "ada"
    assert sent["message"]["metadata"]["openai"]["user"] == "mallory"


async def test_a_user_reaches_an_ag_ui_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/harbor", Reply([], 404))  # what it answers does not matter here
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor", **LOOPBACK)
    for headers in (named("ada"), {}):
        await front.post(chat_body(), headers=headers)
    named_user, unnamed = (each.json for each in agent.exchanges)
    assert named_user["forwardedProps"]["user"] == named_user["context"][0]["value"] == "ada"
    assert (unnamed["forwardedProps"], unnamed["context"]) == ({}, [])


async def test_a_request_without_a_user_is_sent_as_before(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**LOOPBACK)
    assert (await front.chat()).status == 200
    assert "metadata" not in agent.runs[0].json
    assert "metadata" not in agent.runs[0].json["message"]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, "/v1/messages", "/v1/completions"])
async def test_a_user_may_stand_in_the_body_of_every_api(proxy: StartProxy, agent: Agent, path: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**FIELD)
    body = {
        CHAT: {"messages": [{"role": "user", "content": "Hi"}], "user": "ada"},
        RESPONSES: {"input": "Hi", "user": "ada"},
        "/v1/messages": {
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 9,
            "metadata": {"user_id": "ada"},
        },
        "/v1/completions": {"prompt": "Hi", "user": "ada"},
    }[path]
    received = await front.post(json.dumps({"model": "default", **body}).encode(), path=path)
    assert received.status == 200, received.body
    assert agent.runs[0].json["metadata"] == {"user": "ada"}


async def test_claude_codes_user_is_its_account(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**FIELD)
    user_id = json.dumps({"device_id": "d", "account_uuid": "acc-1", "session_id": "s"})
    body = {"model": "default", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    asked = json.dumps({**body, "metadata": {"user_id": user_id}}).encode()
    assert (await front.post(asked, path="/v1/messages")).status == 200
    assert agent.runs[0].json["metadata"] == {"user": "acc-1"}


# Who is believed


async def test_a_header_of_an_end_user_is_ignored(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    """The test's own address is a --trusted-proxy, as nginx would be."""
    agent.plays(run("Hello"))
    keys = entries(tmp_path, app="", backend="trusts_headers = true")
    front = await proxy(user_from=("header:X-User",), api_keys_file=keys)
    for key in ("app", "backend"):
        headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "10.0.0.1", **named("ada")}
        assert (await front.post(chat_body(), headers=headers)).status == 200
    assert ["metadata" in each.json for each in agent.runs] == [False, True]


async def test_trust_counts_for_the_connections_own_address(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(user_from=("header:X-User",), trust_user_from=("10.0.0.0/8",))
    assert (await front.post(chat_body(), headers={"X-Forwarded-For": "10.0.0.1", **named("ada")})).status == 200
    assert "metadata" not in agent.runs[0].json


async def test_a_header_counts_before_a_field(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(user_from=("user", "header:X-User"), trust_user_from=("127.0.0.1",))
    for headers in (named("ada"), {}):
        assert (await front.post(chat_body(user="bob"), headers=headers)).status == 200
    assert [each.json["metadata"]["user"] for each in agent.runs] == ["ada", "bob"]


@pytest.mark.parametrize("key", ["", "same"])
async def test_a_name_that_is_too_long_is_a_400(proxy: StartProxy, agent: Agent, key: str) -> None:
    front = await proxy(**FIELD)
    headers = {"Idempotency-Key": key} if key else {}
    received = await front.post(chat_body(user="x" * 257), headers=headers)
    assert (received.status, json.loads(received.body)["error"]["param"]) == (400, "user")
    assert agent.runs == []


async def test_a_body_that_is_no_json_is_the_same_400_as_without_users(proxy: StartProxy, agent: Agent) -> None:
    bodies = []
    for settings in ({}, FIELD):
        front = await proxy(**settings)
        bodies += [await front.post(body) for body in (b"{", b"[]", b'{"messages":[]}', b"")]
    half = len(bodies) // 2
    assert [(each.status, each.body) for each in bodies[:half]] == [(each.status, each.body) for each in bodies[half:]]


# What users share


async def test_users_of_one_key_have_sessions_of_their_own(front: StartFront) -> None:
    there = await front(**FIELD)
    for user in ("ada", "bob", "ada"):
        await there.ask("Hi", name="diary", user=user)
    keys = [each.session_key for each in there.runs]
    assert keys[0] == keys[2] != keys[1]
    there.keep_sessions()


async def test_nobody_is_recognised_as_another_user(front: StartFront) -> None:
    there = await front(sessions="recognise", **FIELD)
    ada = Chat(there, user="ada")
    await ada.say("Hi")
    bob = Chat(there, user="bob")
    bob.messages = list(ada.messages)
    await bob.say("And now?")
    await ada.say("And now?")
    keys = [each.session_key for each in there.runs]
    assert keys[0] == keys[2] != keys[1]
    there.keep_sessions()


@pytest.mark.parametrize("settings", [LOOPBACK, FIELD], ids=["header", "field"])
async def test_users_may_choose_the_same_idempotency_key(
    proxy: StartProxy, agent: Agent, settings: dict[str, Any]
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**settings)
    for user in ("ada", "bob", "ada"):
        headers = {"Idempotency-Key": "k1", **(named(user) if settings is LOOPBACK else {})}
        fields = {} if settings is LOOPBACK else {"user": user}
        assert (await front.post(chat_body(**fields), headers=headers)).status == 200
    assert [each.json["metadata"]["user"] for each in agent.runs] == ["ada", "bob"]


async def test_a_stored_response_is_its_users(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**FIELD)
    made = json.loads((await respond(front, "Hi", user="ada")).body)["id"]
    path = f"{RESPONSES}/{made}"
    found = [(await front.get(path + query)).status for query in ("?user=ada", "?user=bob", "")]
    assert found == [200, 404, 404]
    later = [(await respond(front, "And?", user=user, previous_response_id=made)).status for user in ("bob", "ada")]
    assert later == [400, 200]


# What is written down


@pytest.mark.parametrize(("form", "shown"), [("hash", False), ("plain", True), ("none", False)])
async def test_a_user_is_a_hash_in_the_log_by_default(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, form: str, shown: bool
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**LOOPBACK, log_users=form)
    with caplog.at_level(logging.DEBUG):
        for user in ("ada.lovelace", "ada.lovelace", "bob"):
            assert (await front.post(chat_body(), headers=named(user))).status == 200
    assert ("ada.lovelace" in caplog.text) == shown
    lines = [each.getMessage() for each in caplog.records if each.name == "oaicompat_proxy.runs"]
    words = [next((word for word in line.split() if word.startswith("user=")), "") for line in lines]
    assert words[0] == words[1]
    assert (words[0] != words[2]) == (form != "none")
