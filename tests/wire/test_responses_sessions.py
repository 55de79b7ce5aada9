"""A conversation by the Responses API goes on in the session that has answered it, as one by chat does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.proxy_harness import Front, StartFront, headers
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream

pytest_plugins = ["tests.support.proxy_fixtures"]

both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(there: Front, given: Any, *, stream: bool, name: str = "", **fields: Any) -> ResponseAnswer:
    body = json.dumps({"model": "demo", "input": given, "stream": stream, **fields}).encode()
    received = await there.proxy.post(body, path="/v1/responses", headers=headers(name, ""))
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


@both_ways
@pytest.mark.parametrize("given", ["Hello", "[[scenario:tool]]", "[[scenario:reasoning]]", "[[scenario:spawn]]"])
async def test_only_what_is_new_goes_to_the_session_that_knows_the_rest(
    front: StartFront, stream: bool, given: str
) -> None:
    there = await front(GatewaySettings(pace=0))
    answer = await ask(there, given, stream=stream, name="harbour", instructions="Be brief.")
    assert bool(answer.agent_calls) == ("tool" in given or "spawn" in given)
    items = [{"role": "user", "content": given}, *answer.response["output"], {"role": "user", "content": "Again"}]
    await ask(there, items, stream=stream, name="harbour", instructions="Be brief.")
    assert len({run.session_key for run in there.runs}) == 1
    assert there.prompt() == "Again"
    there.keep_sessions()


@both_ways
async def test_the_previous_response_names_what_the_session_knows(front: StartFront, stream: bool) -> None:
    there = await front(GatewaySettings(pace=0))
    answer = await ask(there, "Hello", stream=stream, name="harbour")
    await ask(there, "Again", stream=stream, name="harbour", previous_response_id=answer.id)
    assert there.prompt() == "Again"
    there.keep_sessions()


async def test_chat_goes_on_where_responses_ended(front: StartFront) -> None:
    there = await front(GatewaySettings(pace=0))
    answer = await ask(there, "Hello", stream=True, name="harbour")
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": answer.text},
        {"role": "user", "content": "Again"},
    ]
    await there.ask(messages, name="harbour", model="demo")
    assert there.prompt() == "Again"
    there.keep_sessions()
