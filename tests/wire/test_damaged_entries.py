"""Damaged entries in Redis and in the file: they count as missing, no request fails with 500, and no agent runs twice.

One proxy stores, and another one, which remembers nothing, reads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from oaicompat_proxy.server.shared_storage import checksums
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.proxy_harness import RedisServer
from tests.support.scripted_gateway import PATIENCE, Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"

Change = Callable[[bytes], bytes]

CHANGES: dict[str, Change] = {
    "empty": lambda value: b"",
    "cut": lambda value: value[:-2],
    "no JSON": lambda value: b"\xff" * len(value),
    "other JSON": lambda value: b"[1]",
    "one digit": lambda value: value.replace(b"Hello", b"Hallo") if b"Hello" in value else value[:-1] + b"?",
}


class Store:
    """A store that another program changes behind the proxy."""

    def __init__(self, settings: dict[str, Any], redis: RedisServer | None) -> None:
        self.settings = settings
        self._redis = redis

    def damage(self, change: Change) -> int:
        """Changes all values; returns their number."""
        return self._damage_redis(change) if self._redis is not None else self._damage_file(change)

    def _damage_redis(self, change: Change) -> int:
        import redis

        assert self._redis is not None
        changed = 0
        with redis.Redis.from_url(self._redis.url) as client:
            for pattern in ("oaicompat:answer:*", "oaicompat:run:*"):
                for key in client.scan_iter(pattern):
                    value: Any = client.get(key) if client.type(key) == b"string" else None
                    if value is not None and not key.endswith(b":followers"):
                        client.set(key, change(value), keepttl=True)
                        changed += 1
        return changed

    def _damage_file(self, change: Change) -> int:
        with sqlite3.connect(self.settings["response_db"]) as connection:
            rows = connection.execute("SELECT key, value FROM entries WHERE length(value) > 9").fetchall()
            changed = [(change(value), key) for key, value in rows]
            connection.executemany("UPDATE entries SET value = ? WHERE key = ?", changed)
        return len(changed)


@pytest.fixture(params=["file", "redis"])
def damaged(request: pytest.FixtureRequest, tmp_path: Any) -> Store:
    if request.param == "file":
        return Store({"response_db": str(tmp_path / "responses.db")}, None)
    server: RedisServer = request.getfixturevalue("own_redis")
    return Store({"redis": server.url}, server)


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Change:
    return CHANGES[request.param]


@pytest.fixture(autouse=True)
def caplog_of_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def asked(**fields: Any) -> bytes:
    return json.dumps({"model": "default", "input": "Hi", **fields}).encode()


def code_of(received: Received) -> tuple[int, str | None]:
    return received.status, check_error_body(received.body)["code"]


async def call(front: Proxy, method: str, path: str, body: Any = None) -> Received:
    return await front.request(method, path, data=None if body is None else json.dumps(body))


async def test_a_response_and_a_conversation_count_as_missing(
    damaged: Store, change: Change, proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(run("Hello"))
    writer, reader = [await proxy(**damaged.settings) for _ in "ab"]
    conversation = json.loads((await call(writer, "POST", CONVERSATIONS, {})).body)["id"]
    answer = json.loads((await writer.post(asked(conversation=conversation), path=RESPONSES)).body)
    kept = json.loads((await writer.post(asked(store=True, background=True), path=RESPONSES)).body)["id"]
    async with asyncio.timeout(PATIENCE):
        while json.loads((await reader.get(f"{RESPONSES}/{kept}")).body)["status"] != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    item, there = answer["output"][0]["id"], f"{CONVERSATIONS}/{conversation}"
    assert damaged.damage(change) >= 3
    missing = [
        *[("GET", f"{RESPONSES}/{each}{more}") for each in (answer["id"], kept) for more in ("", "?stream=true")],
        ("GET", f"{RESPONSES}/{answer['id']}/input_items"),
        ("POST", f"{RESPONSES}/{kept}/cancel"),
        ("DELETE", f"{RESPONSES}/{answer['id']}"),
        *[("GET", there + more) for more in ("", "/items", f"/items/{item}")],
        ("DELETE", f"{there}/items/{item}"),
        ("DELETE", there),
    ]
    for method, path in missing:
        assert code_of(await call(reader, method, path))[0] == 404, (method, path)
    assert (await call(reader, "POST", there, {"metadata": {}})).status == 404
    assert (await call(reader, "POST", f"{there}/items", {"items": [{"role": "user", "content": "x"}]})).status == 404
    runs = len(agent.runs)
    follows = await reader.post(asked(previous_response_id=answer["id"]), path=RESPONSES)
    assert code_of(follows) == (400, "previous_response_not_found")
    assert (await reader.post(asked(conversation=conversation), path=RESPONSES)).status == 404
    refers = asked(input=[{"type": "item_reference", "id": item}])
    assert (await reader.post(refers, path=RESPONSES)).status == 404
    assert len(agent.runs) == runs
    _check_log(caplog)


async def test_a_request_whose_record_is_damaged_does_not_run_again(
    damaged: Store, change: Change, proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(run("Hello"))
    writer, reader = [await proxy(**damaged.settings) for _ in "ab"]
    for body, path in ((chat_body(), "/v1/chat/completions"), (asked(store=True, stream=True), RESPONSES)):
        runs, headers = len(agent.runs), {"Idempotency-Key": str(uuid.uuid4())}  # else it was logged already
        first, copy = [await each.post(body, path=path, headers=headers) for each in (writer, reader)]
        assert first.status == 200
        assert copy.body == first.body
        assert damaged.damage(change) >= 2
        again = await reader.post(body, path=path, headers=headers)
        assert code_of(again) == (409, "idempotent_answer_gone")
        assert again.headers["x-should-retry"] == "false"
        assert len(agent.runs) == runs + 1
    _check_log(caplog)


def _check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each damaged value is logged once, and no error is."""
    assert not [each.getMessage() for each in caplog.records if each.levelno > logging.WARNING]
    damage = [each.getMessage() for each in caplog.records if each.name == checksums.__name__]
    assert damage
    assert len(damage) == len(set(damage))
