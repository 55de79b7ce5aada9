"""All that is kept of a user, or of a key with its users, is listed and deleted by one request, in each store."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oaicompat_proxy.server.access.api_keys import new_entry
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"


class Keys(NamedTuple):
    app: str
    other: str


@pytest.fixture
def names() -> Keys:
    """Of this test alone: the memory of stored answers belongs to the whole process."""
    unique = secrets.token_hex(4)
    return Keys(f"app-{unique}", f"other-{unique}")


@pytest.fixture
def settings(store: dict[str, Any], names: Keys, tmp_path: Path) -> dict[str, Any]:
    keys = tmp_path / "keys.toml"
    keys.write_text("".join(new_entry(each, each) for each in (*names, "root")) + "forget = true\n")
    return {
        "api_keys_file": str(keys),
        "user_from": ("user",),
        "record": str(tmp_path / "records"),
        "sessions": "recognise",
        **store,
    }


def as_key(name: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}", **headers}


async def use(front: Proxy, key: str, user: str) -> tuple[str, str]:
    """Leaves something of each kind; returns the ids of a response and of a conversation."""
    body = json.dumps({"model": "default", "input": "My secret", "user": user, "store": True}).encode()
    answer = await front.post(body, path=RESPONSES, headers=as_key(key, **{"Idempotency-Key": f"k-{key}{user}"}))
    assert answer.status == 200, answer.body
    streamed = json.dumps({"model": "default", "input": "Hi", "user": user, "store": True, "stream": True}).encode()
    assert (await front.post(streamed, path=RESPONSES, headers=as_key(key))).status == 200
    named = as_key(key, **{"X-Session-Id": "desk"})
    assert (await front.post(chat_body(user=user), headers=named)).status == 200
    assert (await front.post(chat_body(user=user), headers=as_key(key))).status == 200
    held = await front.post(b"{}", path=f"{CONVERSATIONS}?user={user}", headers=as_key(key))
    assert held.status == 200, held.body
    return json.loads(answer.body)["id"], json.loads(held.body)["id"]


async def statuses(front: Proxy, key: str, user: str, ids: tuple[str, str]) -> list[int]:
    paths = [f"{RESPONSES}/{ids[0]}?user={user}", f"{CONVERSATIONS}/{ids[1]}?user={user}"]
    return [(await front.request("GET", path, headers=as_key(key))).status for path in paths]


async def kept(front: Proxy, method: str, query: str) -> dict[str, int]:
    received = await front.request(method, f"/v1/kept_data{query}", headers=as_key("root"))
    assert received.status == 200, received.body
    found: dict[str, int] = json.loads(received.body)["kinds"]
    return found


@pytest.mark.parametrize("of", ["a user", "a key with its users"])
async def test_nothing_is_left_of_it_and_all_of_the_others(
    settings: dict[str, Any], proxy: StartProxy, agent: Agent, names: Keys, of: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**settings)
    owners = [(names.app, "ada"), (names.app, "bob"), (names.app, ""), (names.other, "ada")]
    left = {owner: await use(front, *owner) for owner in owners}
    query = f"?key={names.app}&user=ada" if of == "a user" else f"?key={names.app}"
    gone = [(names.app, "ada")] if of == "a user" else [owner for owner in owners if owner[0] == names.app]
    before, of_others = await kept(front, "GET", query), await kept(front, "GET", f"?key={names.other}")
    assert all(of_others.values()), f"a kind of which nothing was left proves nothing: {of_others}"
    assert {kind: number / len(gone) for kind, number in before.items()} == of_others
    closed = len(agent.closed_sessions)
    assert await kept(front, "DELETE", query) == before
    await agent.until(lambda: len(agent.closed_sessions) >= closed + before["sessions"])
    assert not any((await kept(front, "GET", query)).values())
    assert await kept(front, "GET", f"?key={names.other}") == of_others
    agent.kept_sessions |= {each.session for each in agent.runs}  # those of the others
    for owner, ids in left.items():
        assert await statuses(front, *owner, ids) == ([404, 404] if owner in gone else [200, 200])


async def test_a_retry_behind_it_runs_the_agent_anew(
    settings: dict[str, Any], proxy: StartProxy, agent: Agent, names: Keys
) -> None:
    """Whose answer was deleted has asked nothing yet."""
    agent.plays(run("Hello"))
    front = await proxy(**settings)
    headers = as_key(names.app, **{"Idempotency-Key": "k"})
    for expected in (1, 1):
        assert (await front.post(chat_body(), headers=headers)).status == 200
        assert len(agent.runs) == expected
    await kept(front, "DELETE", f"?key={names.app}")
    assert (await front.post(chat_body(), headers=headers)).status == 200
    assert len(agent.runs) == 2
    agent.kept_sessions |= {each.session for each in agent.runs}
