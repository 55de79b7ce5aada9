"""Clients of the Messages API that repeat a request without an `Idempotency-Key`: the agent runs
once, socket to socket.

Claude Code names its session, and asks once more without `stream` behind a stream that failed. The AI SDK
names nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.message_parts import request
from tests.support.messages_conformance import check_message_body, check_message_error, check_message_stream
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, failure, run, text

pytestmark = pytest.mark.usefixtures("named_sessions_stay_open")

MESSAGES = "/v1/messages"
SESSION = {"X-Claude-Code-Session-Id": "s-1"}
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]


async def post(front: Proxy, *messages: Any, stream: bool = True, headers: Any = SESSION, **fields: Any) -> Received:
    body = request(*messages, **{"model": "default", "stream": stream, "tools": TOOLS, **fields})
    return await front.post(body, path=MESSAGES, headers=headers)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("then", [True, False])
async def test_a_finished_answer_is_sent_again_in_either_form(
    proxy: StartProxy, agent: Agent, first: bool, then: bool
) -> None:
    agent.plays(run("Hello", " there"))
    front = await proxy()
    answers = []
    for stream in (first, then):
        received = await post(front, stream=stream)
        assert received.status == 200
        answers.append((check_message_stream if stream else check_message_body)(received.body))
    assert answers[0] == answers[1]
    assert answers[0].text == "Hello there"
    assert len(agent.runs) == 1


async def test_a_running_answer_is_waited_for(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy()
    first = asyncio.create_task(post(front))
    await agent.until(lambda: agent.runs)
    again = asyncio.create_task(post(front, stream=False))
    gate.set()
    assert check_message_body((await again).body).text == "Hello there"
    assert check_message_stream((await first).body).text == "Hello there"
    assert len(agent.runs) == 1


async def test_a_failed_stream_is_the_same_failure_as_a_status(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy()
    first = await post(front)
    error = check_message_stream(first.body).error
    assert error is not None
    again = await post(front, stream=False)
    assert (again.status, check_message_error(again.body)) == (502, error)
    assert again.headers["x-should-retry"] == "false"
    assert (await post(front)).body == first.body
    assert len(agent.runs) == 1


async def test_a_failure_before_the_first_word(proxy: StartProxy, agent: Agent) -> None:
    agent.plays([failure("no luck")])
    front = await proxy()
    for stream in (True, True, False):
        assert (await post(front, stream=stream)).status == 502
    assert len(agent.runs) == 1


async def test_other_sessions_agents_words_and_keys_are_other_requests(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hi"))
    front = await proxy(api_key=("one", "two"))
    one = {"x-api-key": "one", **SESSION}
    for headers in (one, {**one, "x-claude-code-agent-id": "a"}, {"x-api-key": "two", **SESSION}):
        assert (await post(front, headers=headers)).status == 200
    assert (await post(front, {"role": "user", "content": "Bye"}, headers=one)).status == 200
    assert len(agent.runs) == 4


async def test_a_client_that_names_nothing_gets_a_failure_again_but_no_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hi"))
    front = await proxy()
    for _ in range(2):
        assert check_message_stream((await post(front, headers={})).body).text == "Hi"
    assert len(agent.runs) == 2
    agent.plays([failure("no luck")])
    failures = [await post(front, headers={}, system="Fail.") for _ in range(3)]
    errors = [check_message_error(each.body) for each in failures]
    assert [each.status for each in failures] == [502, 502, 502]
    assert errors == errors[:1] * 3
    assert len(agent.runs) == 3
    assert (await post(front, headers={}, system="Another.")).status == 502
    assert len(agent.runs) == 4


async def test_what_was_not_run_is_run_again(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(upstream="http://127.0.0.1:9", connect_retries=0)
    for headers in (SESSION, {}):
        received = await post(front, headers=headers)
        assert (received.status, received.headers["x-should-retry"]) == (502, "true")
        assert (await post(front, headers=headers)).headers["x-should-retry"] == "true"
