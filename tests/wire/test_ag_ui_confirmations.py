"""A confirmation that an AG-UI agent waits for is answered once: each answer runs the agent again.

The run that asks ends, so the agent itself may not know that it was answered before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, Exchange, Reply, answer

RUN = "/agent"
HEADERS = {"Authorization": "Bearer app"}
CALL = {"toolCallId": "c1"}
ASKS = [{"id": "i1", "reason": "tool_call", "message": "May I?", **CALL}]
QUESTION: list[tuple[str, dict[str, Any]]] = [
    ("TOOL_CALL_START", {"toolCallName": "remove", **CALL}),
    ("TOOL_CALL_ARGS", {"delta": "{}", **CALL}),
    ("TOOL_CALL_END", CALL),
    ("RUN_FINISHED", {"outcome": {"type": "interrupt", "interrupts": ASKS}}),
]
REST: list[tuple[str, dict[str, Any]]] = [
    ("TEXT_MESSAGE_START", {"messageId": "m", "role": "assistant"}),
    ("TEXT_MESSAGE_CONTENT", {"messageId": "m", "delta": "Removed."}),
    ("TEXT_MESSAGE_END", {"messageId": "m"}),
    ("RUN_FINISHED", {}),
]


def asks_first(exchange: Exchange) -> Reply:
    """A run that asks, and the run that continues it."""
    ids = {"threadId": exchange.json["threadId"], "runId": exchange.json["runId"]}
    events = [("RUN_STARTED", {}), *(REST if exchange.json.get("resume") else QUESTION)]
    lines = [json.dumps({"type": kind, **(ids if kind.startswith("RUN") else {}), **more}) for kind, more in events]
    return Reply([f"data: {line}\n\n".encode() for line in lines])


async def start(proxy: StartProxy, agent: Agent, **settings: Any) -> Proxy:
    agent.replies(RUN, asks_first)
    return await proxy(dialect="ag-ui", upstream=agent.url + RUN, confirmations="ask", **settings)


async def ask(front: Proxy) -> dict[str, Any]:
    """The call of the answer: the question."""
    received = await front.post(chat_body("Remove it.", stream=False), headers=HEADERS)
    assert received.status == 200, received.body
    call: dict[str, Any] = json.loads(received.body)["choices"][0]["message"]["tool_calls"][0]
    return call


async def confirm(front: Proxy, call: dict[str, Any], wish: str = "Remove it.") -> Received:
    messages = [
        {"role": "user", "content": wish},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "yes"},
    ]
    return await front.post(chat_body(stream=False, messages=messages), headers=HEADERS)


def resumed(agent: Agent) -> int:
    return sum(bool(each.json.get("resume")) for each in agent.exchanges if each.path == RUN)


async def test_a_second_answer_runs_nothing(proxy: StartProxy, agent: Agent) -> None:
    front = await start(proxy, agent)
    call = await ask(front)
    assert b"Removed." in (await confirm(front, call)).body
    for wish in ("Remove it.", "Remove all."):
        received = await confirm(front, call, wish)
        assert received.status == 400
        error = check_error_body(received.body)
        assert error["code"] == "confirmation_unknown"
        assert "was answered before; nothing was run" in error["message"]
    assert resumed(agent) == 1


async def test_of_many_answers_at_once_one_runs(proxy: StartProxy, agent: Agent) -> None:
    front = await start(proxy, agent)
    call = await ask(front)
    answers = await asyncio.gather(*(confirm(front, call) for _ in range(10)))
    assert sorted(each.status for each in answers) == [200, *[400] * 9]
    assert resumed(agent) == 1


async def test_a_budget_cannot_be_passed_by(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    digest = hashlib.sha256(b"app").hexdigest()
    keys.write_text(f'[keys.app]\nhash = "{digest}"\nbudget = {{ runs_per_day = 1 }}\n')
    front = await start(proxy, agent, api_keys_file=str(keys))
    call = await ask(front)
    assert [(await confirm(front, call)).status for _ in range(3)] == [200, 400, 400]
    assert (await front.post(chat_body(stream=False), headers=HEADERS)).status == 429
    assert resumed(agent) == 1


async def test_an_answer_without_a_run_may_be_repeated(proxy: StartProxy, agent: Agent) -> None:
    front = await start(proxy, agent, max_runs=1, max_waiting=0)
    call, goes_on = await ask(front), asyncio.Event()
    agent.replies(RUN, Reply([goes_on]), asks_first)
    other = asyncio.create_task(ask_other(front))
    await agent.until(lambda: len(agent.exchanges) == 2)
    for _ in range(2):
        received = await confirm(front, call)
        assert (received.status, received.headers["x-should-retry"]) == (503, "true"), received.body
    goes_on.set()
    await other
    assert b"Removed." in (await confirm(front, call)).body
    assert (await confirm(front, call)).status == 400


async def ask_other(front: Proxy) -> Received:
    return await front.post(chat_body("Something else.", stream=False), headers=HEADERS)


async def test_an_answer_whose_client_left_the_queue_may_be_repeated(proxy: StartProxy, agent: Agent) -> None:
    front = await start(proxy, agent, max_runs=1, max_waiting=1)
    call, goes_on = await ask(front), asyncio.Event()
    agent.replies(RUN, Reply([goes_on]), asks_first)
    other = asyncio.create_task(ask_other(front))
    await agent.until(lambda: len(agent.exchanges) == 2)
    waiting = asyncio.create_task(confirm(front, call))
    while b"oaicompat_runs_waiting 1.0" not in (await front.get("/metrics")).body:
        pass
    waiting.cancel()
    while b"oaicompat_runs_waiting 0.0" not in (await front.get("/metrics")).body:
        pass
    goes_on.set()
    await other
    assert b"Removed." in (await confirm(front, call)).body


async def test_an_answer_that_reached_the_agent_is_the_last(proxy: StartProxy, agent: Agent) -> None:
    front = await start(proxy, agent)
    call = await ask(front)
    agent.replies(RUN, answer({"error": "busy"}, 503), asks_first)
    received = await confirm(front, call)
    assert (received.status, received.headers["x-should-retry"]) == (503, "false")
    assert (await confirm(front, call)).status == 400
