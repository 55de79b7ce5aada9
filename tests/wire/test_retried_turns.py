"""A client of the Responses API that repeats a turn's request without an `Idempotency-Key`, as Codex does: socket to
socket, the agent runs once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from oaicompat_proxy.server.idempotency import request_name
from tests.support.conformance import check_error_body
from tests.support.processes import free_port
from tests.support.prometheus_text import scrape
from tests.support.proxy import Line, Proxy, Received, StartProxy
from tests.support.responses_conformance import ResponseAnswer, check_response_body, check_response_stream
from tests.support.scripted_gateway import (
    OPENING,
    PATIENCE,
    Agent,
    Reply,
    closing,
    failure,
    run,
    serving,
    text,
    tool_call,
)

RESPONSES = "/v1/responses"
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
REASONING: dict[str, Any] = {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "x"}
TOOL = {"type": "function", "name": "ls", "parameters": {"type": "object"}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"}

both_ways = pytest.mark.parametrize("stream", [True, False])


def half(text: str) -> dict[str, Any]:
    """A message that was cut, as the client sends it back."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "incomplete", "id": "msg_1", "content": content}


def turn(*more: Any, stream: bool = True, turn_id: str = "t-1", **fields: Any) -> bytes:
    metadata = {"turn_id": turn_id, "session_id": "s"}
    body = {"model": "default", "input": [USER, *more], "stream": stream, "client_metadata": metadata, "tools": [TOOL]}
    return json.dumps({**body, **fields}).encode()


async def post(front: Proxy, body: bytes, **headers: str) -> Received:
    return await front.post(body, path=RESPONSES, headers=headers)


def read(received: Received, *, stream: bool = True) -> ResponseAnswer:
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


async def start_line(front: Proxy, agent: Agent, body: bytes) -> Line:
    """A client whose request has begun a run."""
    line = await front.dial()
    await line.post(body, path=RESPONSES)
    await agent.until(lambda: agent.runs)
    return line


# The answer


@both_ways
async def test_a_finished_answer_is_sent_again(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello", " there"))
    front = await proxy()
    first = await post(front, turn(stream=stream))
    again = await post(front, turn(half("Hello"), stream=stream))
    assert read(first, stream=stream).text == "Hello there"
    assert (again.status, again.body) == (200, first.body)
    assert len(agent.runs) == 1


@pytest.mark.parametrize("count", [0, 1, 40, 400, 1000, 2500])
async def test_a_connection_that_broke_at_any_byte(proxy: StartProxy, agent: Agent, count: int) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy()
    line = await start_line(front, agent, turn())
    if count >= 1000:
        gate.set()
    received = b""
    while len(received) < count:
        received += await line.read(count - len(received))
    line.reset()
    gate.set()
    again = await post(front, turn(REASONING, half("Hello")))
    assert read(again).text == "Hello there"
    assert len(agent.runs) == 1


@both_ways
async def test_a_running_answer_is_joined(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy()
    first = asyncio.create_task(post(front, turn(stream=stream)))
    await agent.until(lambda: agent.runs)
    line = await front.dial()
    await line.post(turn(half("Hel"), stream=stream), path=RESPONSES)
    if stream:
        await line.read_until(b'"delta":"Hello"')
    gate.set()
    assert read(await first, stream=stream).text == "Hello there"
    await line.read_until(b"Hello there")
    await line.close()
    assert len(agent.runs) == 1


async def test_a_run_that_is_read_again_is_not_stopped(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Done"), closing())
    front = await proxy()
    (await start_line(front, agent, turn())).reset()
    again = asyncio.create_task(post(front, turn()))
    gate.set()
    assert read(await again).text == "Done"
    assert len(agent.runs) == 1


async def test_a_run_that_is_not_read_again_is_stopped(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, "stall")
    front = await proxy(idempotency_grace=0.05)
    (await start_line(front, agent, turn())).reset()
    await agent.until(lambda: agent.runs[0].outcome == "left" and agent.closed_sessions)
    late = await post(front, turn())
    assert late.status == 409
    error = check_error_body(late.body)
    assert error["code"] == "idempotent_answer_gone"
    assert "Idempotency-Key" not in error["message"]
    assert len(agent.runs) == 1


async def test_without_a_reader_a_turn_ends_sooner_than_with_a_key(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_name, "RETRY_GRACE", 0.05)
    agent.plays(OPENING, "stall")
    front = await proxy(idempotency_grace=3600)
    (await start_line(front, agent, turn())).reset()
    await agent.until(lambda: agent.runs[0].outcome == "left")


# The failure


@both_ways
async def test_a_failure_at_once_is_sent_again_with_its_status(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.replies("/send", Reply([*OPENING, failure("Overloaded")]))
    front = await proxy()
    answers = [await post(front, turn(stream=stream)) for _ in range(6)]
    assert {(each.status, each.body) for each in answers} == {(answers[0].status, answers[0].body)}
    assert answers[0].status >= 500
    assert len(agent.runs) == 1


@pytest.mark.parametrize("end", [failure("the model broke"), "cut"], ids=["error", "cut"])
async def test_a_failure_in_the_stream_is_sent_again(proxy: StartProxy, agent: Agent, end: Any) -> None:
    agent.plays(OPENING, text("Half"), end)
    front = await proxy()
    answers = [await post(front, turn(*[half("Half")] * count)) for count in range(4)]
    assert len({each.body for each in answers}) == 1
    assert read(answers[0]).status == "failed"
    assert len(agent.runs) == 1


@both_ways
async def test_a_request_that_never_reached_the_agent_runs_again(proxy: StartProxy, stream: bool) -> None:
    port = free_port()
    front = await proxy(upstream=f"http://127.0.0.1:{port}")
    assert (await post(front, turn(stream=stream))).status == 502
    async with serving(port) as agent:
        agent.plays(run("Hello"))
        answers = [await post(front, turn(stream=stream)) for _ in range(2)]
        assert [read(each, stream=stream).text for each in answers] == ["Hello"] * 2
        assert len(agent.runs) == 1
        await agent.until(lambda: not agent.left_beside(1))  # the stored response keeps its session


# Other requests


async def test_the_output_of_a_tool_is_the_next_request_of_the_turn(proxy: StartProxy, agent: Agent) -> None:
    agent.replies(
        "/send",
        Reply([*OPENING, *tool_call("call_1", "ls", "{}"), *closing(stop="tool_use")]),
        Reply(run("One file.")),
    )
    front = await proxy()
    first = read(await post(front, turn()))
    assert first.calls == [("call_1", "ls", "{}")]
    call = {"type": "function_call", "call_id": "call_1", "name": "ls", "arguments": "{}"}
    answers = [await post(front, turn(call, OUTPUT, *more)) for more in ([], [half("One")])]
    assert [read(each).text for each in answers] == ["One file."] * 2
    assert len(agent.runs) == 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (turn(), {"Authorization": "Bearer another"}),
        (turn(), {"X-Session-Id": "mine"}),
        (turn(turn_id="t-2"), {}),
        (turn(half("Hello"), USER), {}),
        (turn(instructions="Be brief."), {}),
    ],
    ids=["key", "session", "turn", "input", "instructions"],
)
async def test_another_request_runs_the_agent(
    proxy: StartProxy, agent: Agent, body: bytes, headers: dict[str, str]
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await post(front, turn())
    assert read(await post(front, body, **headers)).text == "Hello"
    assert len(agent.runs) == 2
    if "X-Session-Id" in headers:
        agent.kept_sessions.add(agent.runs[1].session)


async def test_without_a_turn_id_each_request_runs_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for _ in range(2):
        assert read(await post(front, turn(client_metadata={"x": "turn_id"}))).text == "Hello"
    assert len(agent.runs) == 2


async def test_an_idempotency_key_comes_before_the_turn_id(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for key in ("k-1", "k-1", "k-2"):
        read(await post(front, turn(), **{"Idempotency-Key": key}))
    assert len(agent.runs) == 2
    changed = await post(front, turn(half("Hel")), **{"Idempotency-Key": "k-1"})
    assert check_error_body(changed.body)["code"] == "idempotency_key_reused"


# Bounds


async def test_an_answer_is_kept_for_a_while(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(idempotency_ttl=0)
    await post(front, turn())
    await post(front, turn())
    assert len(agent.runs) == 2


async def test_when_no_more_can_be_remembered_a_turn_runs_all_the_same(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.replies("/send", Reply([*OPENING, gate, text("Slow"), *closing()]), Reply(run("Hello")))
    front = await proxy(max_idempotent=1)
    slow = asyncio.create_task(post(front, turn()))
    await agent.until(lambda: agent.runs)
    assert read(await post(front, turn(turn_id="t-2"))).text == "Hello"
    gate.set()
    assert read(await slow).text == "Slow"


@pytest.mark.parametrize(("size", "status"), [(3000, 413), (100, 400)])
async def test_a_request_that_is_refused_is_reported_once(
    proxy: StartProxy, agent: Agent, size: int, status: int
) -> None:
    front = await proxy(max_body=2000)
    assert (await post(front, turn() + b"x" * size)).status == status
    assert (await scrape(front)).total("oaicompat_runs_total", outcome="refused") == 1
    assert not agent.runs


async def test_a_client_that_leaves_before_its_body_is_whole_is_reported_once(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy()
    line = await front.dial()
    lines = [f"POST {RESPONSES} HTTP/1.1", "Host: localhost", "Content-Length: 1000", "Expect: 100-continue"]
    await line.send("\r\n".join([*lines, "", ""]).encode())
    await line.read_until(b"100 Continue\r\n\r\n")
    await line.send(turn()[:20])
    line.reset()
    async with asyncio.timeout(PATIENCE):
        while (await scrape(front)).total("oaicompat_runs_total", outcome="client_gone") != 1:
            pass
    assert not agent.runs
