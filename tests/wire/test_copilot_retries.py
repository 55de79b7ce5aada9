"""GitHub Copilot CLI repeats a stream that failed, in every API, without an `Idempotency-Key`: the agent runs once.

The requests are those of `@github/copilot` 1.0.102, with shorter prompts.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, failure, run, text

HEADERS = {
    "accept": "application/json",
    "authorization": "Bearer any",
    "content-type": "application/json",
    "x-interaction-type": "conversation-user",
    "x-stainless-helper-method": "stream",
    "x-stainless-retry-count": "0",
    "accept-encoding": "zstd,gzip,deflate,br",
}
ASKS = HEADERS | {"x-initiator": "user"}
REPEATS = {name: value for name, value in HEADERS.items() if name != "x-interaction-type"} | {"x-initiator": "agent"}
SYSTEM = "You are the GitHub Copilot CLI, a terminal assistant built by GitHub."
QUESTION = "<current_datetime>2026-12-01T13:18:30.433+00:00</current_datetime>\n\nHello"
SCHEMA = {"type": "object", "properties": {"intent": {"type": "string"}}, "required": ["intent"]}
FUNCTION = {"name": "report_intent", "description": "Report what you do", "parameters": SCHEMA}


class Asked(NamedTuple):
    path: str
    body: dict[str, Any]

    def encode(self, **more: Any) -> bytes:
        return json.dumps({**self.body, **more}).encode()


CHAT = Asked(
    "/v1/chat/completions",
    {
        "model": "default",
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
        "temperature": 0,
        "top_p": 0.95,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "tools": [{"type": "function", "function": FUNCTION}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
)
RESPONSES = Asked(
    "/v1/responses",
    {
        "model": "default",
        "instructions": SYSTEM,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}], "type": "message"}],
        "tools": [{"type": "function", **FUNCTION, "strict": False}],
        "reasoning": {"summary": "auto"},
        "prompt_cache_key": "a9a67c95542b90f836c522893b847ad7",
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
    },
)
MESSAGES = Asked(
    "/v1/messages",
    {
        "model": "default",
        "max_tokens": 8192,
        "system": [{"type": "text", "text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
        "tools": [{"name": "report_intent", "description": "Report what you do", "input_schema": SCHEMA}],
        "temperature": 0,
        "stream": True,
    },
)

each_api = pytest.mark.parametrize("asked", [CHAT, RESPONSES, MESSAGES], ids=lambda asked: asked.path)


async def post(front: Proxy, asked: Asked, headers: dict[str, str] = REPEATS, **more: Any) -> Received:
    version = {"anthropic-version": "2023-06-01"} if asked is MESSAGES else {}
    return await front.post(asked.encode(**more), path=asked.path, headers=headers | version)


@each_api
async def test_a_stream_that_failed_is_not_run_again(proxy: StartProxy, agent: Agent, asked: Asked) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy()
    first = await post(front, asked, ASKS)
    assert first.status == 200
    assert b"no luck" in first.body
    for _ in range(2):
        again = await post(front, asked)
        assert again.status == 502
        assert b"no luck" in again.body
        assert again.headers["x-should-retry"] == "false"
    assert len(agent.runs) == 1


@each_api
async def test_a_failure_with_a_status_is_not_run_again(proxy: StartProxy, agent: Agent, asked: Asked) -> None:
    agent.plays([failure("no luck")])
    front = await proxy()
    assert [(await post(front, asked, headers)).status for headers in (ASKS, REPEATS)] == [502, 502]
    assert len(agent.runs) == 1


@each_api
async def test_another_question_and_another_key_run_the_agent(proxy: StartProxy, agent: Agent, asked: Asked) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy(api_key=("any", "other"))
    await post(front, asked, ASKS)
    agent.plays(run("Hello"))
    assert (await post(front, asked, metadata={"user_id": "u-2"})).status == 200
    assert (await post(front, asked, REPEATS | {"authorization": "Bearer other"})).status == 200
    assert len(agent.runs) == 3


@each_api
async def test_an_answer_is_not_repeated(proxy: StartProxy, agent: Agent, asked: Asked) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    assert [(await post(front, asked, headers)).status for headers in (ASKS, REPEATS)] == [200, 200]
    assert len(agent.runs) == 2


@each_api
async def test_other_clients_may_ask_again_behind_a_stream(proxy: StartProxy, agent: Agent, asked: Asked) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy()
    for _ in range(2):
        assert (await post(front, asked, HEADERS)).status == 200
    assert len(agent.runs) == 2


async def test_a_response_that_is_kept_stays_kept(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    begun = await post(front, RESPONSES, ASKS, store=True, stream=False, background=True)
    assert json.loads(begun.body)["status"] == "queued"
