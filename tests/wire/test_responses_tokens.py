"""A client that keeps its conversation itself (`store: false`) finds its session again by a token of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.proxy import Proxy, StartProxy
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream
from tests.support.scripted_gateway import OPENING, Agent, closing, frame, run, session_and_prompt, text, tool_call

pytest_plugins = ["tests.support.proxy_fixtures"]

INCLUDE = ["reasoning.encrypted_content"]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
both_ways = pytest.mark.parametrize("stream", [True, False])


def message(words: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": words}


class Stateless:
    """A client as Codex is: it sends everything back."""

    def __init__(self, front: Proxy, *, stream: bool = True, key: str = "", **fields: Any) -> None:
        self._front = front
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._fields = {"store": False, "include": INCLUDE, "stream": stream, **fields}
        self.items: list[dict[str, Any]] = []

    async def say(self, *items: Any) -> ResponseAnswer:
        self.items += items
        body = json.dumps({"model": "default", "input": self.items, **self._fields}).encode()
        received = await self._front.post(body, path="/v1/responses", headers=self._headers)
        assert received.status == 200, received.body
        check = check_response_stream if self._fields["stream"] else check_response_body
        answer = check(received.body)
        self.items += answer.response["output"]
        return answer


def thinking(thought: str) -> list[bytes]:
    return [*OPENING, frame("reasoning_delta", blockIndex=0, delta=thought), text("Hello"), *closing()]


@both_ways
@pytest.mark.parametrize("thought", ["", "Let me see."])
async def test_only_what_is_new_goes_to_the_session(
    proxy: StartProxy, agent: Agent, stream: bool, thought: str
) -> None:
    agent.plays(thinking(thought) if thought else run("Hello"))
    client = Stateless(await proxy(), stream=stream)
    for words in ("One", "Two", "Three"):
        answer = await client.say(message(words))
        first, *rest = answer.response["output"]
        assert (first["type"], answer.reasoning) == ("reasoning", thought)
        assert first["encrypted_content"]
        assert [item["type"] for item in rest] == ["message"]
    sessions, prompts = zip(*(session_and_prompt(agent, index) for index in range(3)), strict=True)
    assert (len({*sessions}), prompts) == (1, ("One", "Two", "Three"))


async def test_outputs_of_tools_go_to_the_session(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run()[:3], *tool_call("call_1", "weather", '{"city":"Brest"}'), closing())
    client = Stateless(await proxy(), tools=[TOOL])
    answer = await client.say(message("One"))
    agent.plays(run("Sunny"))
    await client.say({"type": "function_call_output", "call_id": answer.calls[0][0], "output": "21 degrees"})
    assert session_and_prompt(agent)[0] == session_and_prompt(agent, 0)[0]
    assert "One" not in session_and_prompt(agent)[1]


async def test_a_custom_tools_output_goes_to_the_session(proxy: StartProxy, agent: Agent) -> None:
    """The client sends back the text alone; the agent has called the tool with a JSON object."""
    agent.plays(*run()[:3], *tool_call("call_1", "poem", '{"input":"an owl"}'), closing())
    client = Stateless(await proxy(), tools=[{"type": "custom", "name": "poem"}])
    answer = await client.say(message("One"))
    assert answer.calls == [("call_1", "poem", "an owl")]
    agent.plays(run("Done"))
    await client.say({"type": "custom_tool_call_output", "call_id": "call_1", "output": "Hoo"})
    assert session_and_prompt(agent)[0] == session_and_prompt(agent, 0)[0]
    assert "One" not in session_and_prompt(agent)[1]


@both_ways
async def test_nobody_gets_a_token_who_does_not_ask(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(thinking("Let me see."))
    front = await proxy()
    for fields in ({"include": []}, {"store": True}):
        output = (await Stateless(front, stream=stream, **fields).say(message("One"))).response["output"]
        assert ["encrypted_content" in item for item in output] == [False, False]


async def test_a_server_that_stores_nothing_gives_one(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    client = Stateless(await proxy(responses="stateless"), store=None)
    await client.say(message("One"))
    await client.say(message("Two"))
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


@pytest.mark.parametrize("token", ["forged", "gAAAAABo" * 500, "oct.resp_1.99999999999.x", "", None])
async def test_a_forged_token_costs_the_whole_conversation_and_no_more(
    proxy: StartProxy, agent: Agent, token: str | None
) -> None:
    agent.plays(run("Hello"))
    client = Stateless(await proxy())
    await client.say(message("One"))
    client.items[1]["encrypted_content"] = token
    await client.say(message("Two"))
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "One" in prompt
    await client.say(message("Three"))
    assert session_and_prompt(agent) == (session, "Three")


@pytest.mark.parametrize("change", ["edited", "regenerated", "other instructions", "other key"])
async def test_another_conversation_gets_another_session(proxy: StartProxy, agent: Agent, change: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("alice", "bob"))
    client = Stateless(front, key="alice")
    await client.say(message("One"))
    other = Stateless(front, key="bob" if change == "other key" else "alice")
    other.items = json.loads(json.dumps(client.items))
    if change == "edited":
        other.items[0]["content"] = "Eleven"
    elif change == "regenerated":
        await client.say(message("Two"))
    elif change == "other instructions":
        other = Stateless(front, key="alice", instructions="Be brief.")
        other.items = client.items
    await other.say(message("Or"))
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert prompt.endswith("Or")
    assert ("Eleven" if change == "edited" else "One") in prompt


async def test_an_expired_token_is_none(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    client = Stateless(await proxy(session_ttl=1))
    await client.say(message("One"))
    mark, point, _, signature = client.items[1]["encrypted_content"].split(".")
    client.items[1]["encrypted_content"] = ".".join([mark, point, "1", signature])
    await client.say(message("Two"))
    assert session_and_prompt(agent)[0] != session_and_prompt(agent, 0)[0]


async def test_another_process_with_the_secret_and_redis_continues(
    proxy: StartProxy, agent: Agent, redis_server: Any
) -> None:
    agent.plays(run("Hello"))
    settings = {"redis": redis_server.url, "session_secret": ("s" * 32,)}
    first, second = Stateless(await proxy(**settings)), Stateless(await proxy(**settings))
    await first.say(message("One"))
    second.items = first.items
    await second.say(message("Two"))
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


@pytest.mark.parametrize("place", ["prompt_cache_key", "header:session-id"])
async def test_codex_names_its_session(proxy: StartProxy, agent: Agent, place: str) -> None:
    """Codex sends both names with each request, its developer message first, and the items of its answers."""
    agent.plays(run("Hello"))
    front = await proxy(session_from=(place,))
    items: list[dict[str, Any]] = [message("You are a coding agent.", "developer")]
    for words in ("One", "Two"):
        items.append(message(words))
        body = {"model": "default", "input": items, "store": False, "include": INCLUDE, "prompt_cache_key": "thread-1"}
        received = await front.post(json.dumps(body).encode(), path="/v1/responses", headers={"session-id": "thread-1"})
        items += check_response_body(received.body).response["output"]
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")
