"""A coding agent's session, its helpers and its reminders: which session of the gateway each request comes to, and what
the agent is asked there.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.message_parts import request
from tests.support.messages_conformance import check_message_stream
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, run, text

pytestmark = pytest.mark.usefixtures("named_sessions_stay_open")

MESSAGES = "/v1/messages"
SESSION = {"X-Claude-Code-Session-Id": "s-1"}
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
PROMPT = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332"}, {"type": "text", "text": "Code."}]
REMINDER = "<system-reminder>\nBe careful.\n</system-reminder>"


def user(words: str) -> dict[str, Any]:
    """As Claude Code sends the newest one."""
    content = [{"type": "text", "text": REMINDER}, {"type": "text", "text": words, "cache_control": {"type": "e"}}]
    return {"role": "user", "content": content}


def earlier(words: str) -> dict[str, Any]:
    """As it sends the same one later."""
    return {"role": "user", "content": [{"type": "text", "text": REMINDER}, {"type": "text", "text": words}]}


ENVIRONMENT = {"role": "system", "content": [{"type": "text", "text": "Environment: Linux."}]}
LATER = {"role": "system", "content": "Environment: Linux."}


async def turn(front: Proxy, *messages: Any, headers: Any = SESSION, **fields: Any) -> str:
    body = request(*messages, **{"model": "default", "stream": True, "tools": TOOLS, "system": PROMPT, **fields})
    received = await front.post(body, path=MESSAGES, headers=headers)
    assert received.status == 200, received.body
    return check_message_stream(received.body).text


def asked(agent: Agent, index: int = -1) -> str:
    """All text that a run was given."""
    return json.dumps(agent.runs[index].json["message"], ensure_ascii=False)


async def test_two_turns_are_one_session_though_forms_change(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await turn(front, user("Hi"), ENVIRONMENT)
    await turn(front, earlier("Hi"), LATER, {"role": "assistant", "content": "Hello"}, user("Bye"))
    first, second = agent.runs
    assert first.session == second.session
    assert "Environment" in asked(agent, 0)
    assert "Environment" not in asked(agent, 1)
    assert "Bye" in asked(agent, 1)


async def test_what_is_asked_stands_last_and_nothing_is_lost(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await turn(front, user("What is new?"), ENVIRONMENT)
    blocks = agent.runs[0].json["message"]["content"]
    assert blocks[-1]["text"] == "What is new?"
    before = "".join(block["text"] for block in blocks[:-1])
    assert "Code." in before
    assert "> Environment: Linux." in before
    assert "> Be careful." in before
    assert "billing" not in before


async def test_helpers_neither_speak_in_the_conversation_nor_wait_for_it(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    front = await proxy(session_wait=60.0)
    main = asyncio.create_task(turn(front, user("Hi")))
    await agent.until(lambda: agent.runs)
    agent.plays(run("Title"))
    title = {"format": {"type": "json_schema", "schema": {}}}
    plain = {"role": "user", "content": "<session>Hi</session>"}
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    agent_header = {**SESSION, "x-claude-code-agent-id": "a-1"}
    assert await turn(front, plain, tools=[], output_config=title, system=None) == "Title"
    assert await turn(front, plain, tools=search, system=None) == "Title"
    assert await turn(front, plain, headers=agent_header) == "Title"
    gate.set()
    assert await main == "Hello"
    assert len({each.session for each in agent.runs}) == 4
    agent.plays(run("Bye"))
    await turn(front, earlier("Hi"), {"role": "assistant", "content": "Hello"}, user("Bye"))
    assert agent.runs[-1].session == agent.runs[0].session
    await turn(front, plain, {"role": "assistant", "content": "Title"}, user("More"), headers=agent_header)
    assert agent.runs[-1].session == agent.runs[3].session


@pytest.mark.parametrize("place", ["none", "header:X-Mine"])
async def test_the_operators_place_wins(proxy: StartProxy, agent: Agent, place: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(session_from=(place,))
    await turn(front, user("Hi"))
    await turn(front, earlier("Hi"), {"role": "assistant", "content": "Hello"}, user("Bye"))
    assert agent.runs[0].session != agent.runs[1].session


async def test_the_agents_own_tools_come_back_and_change_nothing(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await turn(front, user("Hi"))
    echo = [
        {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "tide", "server_name": "default", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": []},
        {"type": "text", "text": "Hello"},
    ]
    await turn(front, earlier("Hi"), {"role": "assistant", "content": echo}, user("Bye"))
    assert agent.runs[0].session == agent.runs[1].session
    assert "tide" not in asked(agent)
