"""The settings `max_responses` and `response_ttl` bound each store, for each key and each user, over a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import PATIENCE, Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES = "/v1/responses"


async def answered(front: Proxy, key: str, **fields: Any) -> str:
    body = json.dumps({"model": "default", "input": "Hi", **fields}).encode()
    received = await front.post(body, path=RESPONSES, headers={"Authorization": f"Bearer {key}"})
    assert received.status == 200, received.body
    return str(json.loads(received.body)["id"])


async def statuses(front: Proxy, key: str, ids: list[str]) -> list[int]:
    headers = {"Authorization": f"Bearer {key}"}
    return [(await front.request("GET", f"{RESPONSES}/{each}", headers=headers)).status for each in ids]


@pytest.mark.parametrize("fields", [{}, {"store": True}], ids=["unread", "kept"])
async def test_so_many_of_each_key_and_user(
    store: dict[str, Any], proxy: StartProxy, agent: Agent, fields: dict[str, Any]
) -> None:
    """The newest ones, exactly; those of another key or user stay."""
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ada", "bob"), user_from=("user",), max_responses=3, **store)
    of_bob = await answered(front, "bob", **fields)
    of_user = await answered(front, "ada", user="eve", **fields)
    ids = [await answered(front, "ada", **fields) for _ in range(5)]
    assert await statuses(front, "ada", ids) == [404, 404, 200, 200, 200]
    assert await statuses(front, "bob", [of_bob]) == [200]
    received = await front.request("GET", f"{RESPONSES}/{of_user}?user=eve", headers={"Authorization": "Bearer ada"})
    assert received.status == 200


async def test_so_long(store: dict[str, Any], proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ada",), response_ttl=1.0, **store)
    answer_id = await answered(front, "ada")
    assert await statuses(front, "ada", [answer_id]) == [200]
    async with asyncio.timeout(PATIENCE):
        while await statuses(front, "ada", [answer_id]) != [404]:  # noqa: ASYNC110 -- a store has no event for it
            await asyncio.sleep(0.1)
