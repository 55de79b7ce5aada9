"""Only a trusted balancer may choose the id of a response."""

from __future__ import annotations

import json

import pytest

from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("fields", [{}, {"store": True}, {"background": True}], ids=["plain", "stored", "background"])
@pytest.mark.parametrize(
    ("chosen", "trusted", "taken"),
    [(ID, ("127.0.0.1",), True), (ID, ("10.0.0.1",), False), (ID[1:], ("127.0.0.1",), False)],
)
async def test_the_id_of_a_response(
    proxy: StartProxy, agent: Agent, chosen: str, trusted: tuple[str, ...], taken: bool, fields: dict[str, bool]
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(trusted_proxy=trusted, allowed_host=("*",))
    body = json.dumps({"model": "default", "input": "Hi", **fields}).encode()
    received = await front.post(body, path="/v1/responses", headers={"X-Answer-Id": chosen})
    assert received.status == 200, received.body
    assert (json.loads(received.body)["id"] == f"resp_{ID}") == taken
    await agent.until(lambda: agent.runs)
