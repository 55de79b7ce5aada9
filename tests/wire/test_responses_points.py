"""A response that goes on from another one: in that one's session, or as a fork in a fresh one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, StartProxy
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream
from tests.support.scripted_gateway import (
    OPENING,
    Agent,
    answer,
    closing,
    failure,
    run,
    session_and_prompt,
    text,
    tool_call,
)

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}

both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(front: Proxy, given: Any, *, stream: bool = True, key: str = "", **fields: Any) -> ResponseAnswer:
    body = json.dumps({"model": "default", "input": given, "stream": stream, **fields}).encode()
    received = await front.post(body, path="/v1/responses", headers={"Authorization": f"Bearer {key}"} if key else {})
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


@both_ways
async def test_three_turns_send_only_what_is_new(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One", stream=stream)
    second = await ask(front, "Two", stream=stream, previous_response_id=first.id)
    await ask(front, [{"role": "user", "content": "Three"}], stream=stream, previous_response_id=second.id)
    sessions, prompts = zip(*(session_and_prompt(agent, index) for index in range(3)), strict=True)
    assert (len({*sessions}), prompts) == (1, ("One", "Two", "Three"))


@both_ways
async def test_a_second_continuation_is_a_fork_with_the_whole_conversation(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One", stream=stream)
    second = await ask(front, "Two", stream=stream, previous_response_id=first.id)
    fork = await ask(front, "Or", stream=stream, previous_response_id=first.id)
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "One" in prompt
    assert "Hello" in prompt
    assert "Two" not in prompt
    assert prompt.endswith("Or")
    await ask(front, "Three", stream=stream, previous_response_id=second.id)
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Three")
    await ask(front, "Then", stream=stream, previous_response_id=fork.id)
    assert session_and_prompt(agent) == (session, "Then")


async def test_other_instructions_begin_another_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One", instructions="Be brief.")
    second = await ask(front, "Two", previous_response_id=first.id, instructions="Be brief.")
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")
    await ask(front, "Three", previous_response_id=second.id)
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "One" in prompt
    assert "brief" not in prompt


async def test_a_turn_that_failed_is_tried_again_in_the_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One")
    agent.replies("/send", answer({"error": "busy"}, 503))
    body = json.dumps({"model": "default", "input": "Two", "previous_response_id": first.id}).encode()
    assert (await front.post(body, path="/v1/responses")).status >= 500
    agent.plays(run("Hello"))
    await ask(front, "Two", previous_response_id=first.id)
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


async def test_outputs_of_tools_go_to_the_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run()[:3], *tool_call("call_1", "weather", '{"city":"Brest"}'), closing())
    front = await proxy()
    first = await ask(front, "One", tools=[TOOL])
    agent.plays(run("Sunny"))
    output = {"type": "function_call_output", "call_id": first.calls[0][0], "output": "21 degrees"}
    await ask(front, [output], tools=[TOOL], previous_response_id=first.id)
    session, prompt = session_and_prompt(agent)
    assert session == session_and_prompt(agent, 0)[0]
    assert "21 degrees" in prompt
    assert "One" not in prompt


@pytest.mark.parametrize(
    "added",
    [
        {"role": "assistant", "content": "I never said this."},
        {"type": "reasoning", "id": "rs_1", "summary": []},
    ],
)
async def test_words_of_the_assistants_own_are_no_continuation(
    proxy: StartProxy, agent: Agent, added: dict[str, Any]
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One")
    await ask(front, [added, {"role": "user", "content": "Two"}], previous_response_id=first.id)
    is_new = session_and_prompt(agent)[0] != session_and_prompt(agent, 0)[0]
    assert is_new == ("role" in added)
    assert ("One" in session_and_prompt(agent)[1]) == is_new


async def test_what_is_not_stored_leaves_no_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await ask(front, "One", store=False)
    await agent.until(lambda: len(agent.closed_sessions) == 1)
    stateless = await proxy(responses="stateless")
    await ask(stateless, "One")
    await agent.until(lambda: len(agent.closed_sessions) == 2)
    assert [await each.kept_sessions() for each in (front, stateless)] == [0, 0]


async def test_the_oldest_session_gives_way(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(max_sessions=2)
    answers = [await ask(front, str(number)) for number in range(3)]
    await agent.until(lambda: agent.closed_sessions == [session_and_prompt(agent, 0)[0]])
    await ask(front, "Again", previous_response_id=answers[0].id)
    assert "Hello" in session_and_prompt(agent)[1]
    await ask(front, "Again", previous_response_id=answers[2].id)
    assert session_and_prompt(agent) == (session_and_prompt(agent, 2)[0], "Again")


async def test_a_restart_sends_the_whole_conversation_once(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = str(tmp_path / "responses.db")
    first = await ask(await proxy(response_db=file), "One")
    later = await proxy(response_db=file)
    second = await ask(later, "Two", previous_response_id=first.id)
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "One" in prompt
    assert prompt.endswith("Two")
    await ask(later, "Three", previous_response_id=second.id)
    assert session_and_prompt(agent) == (session, "Three")
    reference = {"type": "item_reference", "id": second.response["output"][0]["id"]}
    await ask(later, [{"role": "user", "content": "Hi"}, reference, {"role": "user", "content": "Go on"}])
    assert "Hello" in session_and_prompt(agent)[1]


async def test_nobody_goes_on_in_anothers_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("alice", "bob"))
    first = await ask(front, "One", key="alice")
    body = json.dumps({"model": "default", "input": "Two", "previous_response_id": first.id}).encode()
    refused = await front.post(body, path="/v1/responses", headers={"Authorization": "Bearer bob"})
    assert (refused.status, check_error_body(refused.body)["code"]) == (400, "previous_response_not_found")
    await ask(front, "Two", key="alice", previous_response_id=first.id)
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


async def test_a_failure_in_mid_run_leaves_the_conversation_whole(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    first = await ask(front, "One")
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    body = json.dumps({"model": "default", "input": "Two", "stream": True, "previous_response_id": first.id}).encode()
    assert b"response.failed" in (await front.post(body, path="/v1/responses")).body
    agent.plays(OPENING, text("Hello"), closing())
    await ask(front, "Two", previous_response_id=first.id)
    session, prompt = session_and_prompt(agent)
    assert prompt == "Two" if session == session_and_prompt(agent, 0)[0] else "One" in prompt
