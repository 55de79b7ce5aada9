"""Whole answers that take long: kept open with white space if the operator wants it, never half an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx2
import openai
import pytest

from oaicompat_proxy.api.openai.chat.collector import Collector
from oaicompat_proxy.server.context import SERVER
from tests.support.conformance import check_body, check_error_body
from tests.support.proxy import Line, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Step, closing, failure, run, text

WARM = {"json_keep_alive": 0.005}
QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
WORST_ENDINGS: dict[str, list[Step]] = {
    "the agent fails": [text("Half an "), failure("Model exploded")],
    "the line is cut": [text("Half an "), "cut"],
    "the line is reset": [text("Half an "), "reset"],
    "the last word lacks": [text("Half an answer")],
    "what comes is no event": [text("Half an "), b"data: {\n\n"],
}


def sdk(front: Proxy, **how: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", **{"max_retries": 0, **how})


async def post(line: Line, *, version: str = "1.1", headers: tuple[str, ...] = ()) -> dict[str, str]:
    """Asks for a whole answer; returns the headers, which have status 200."""
    await line.post(chat_body(stream=False), version=version, headers=headers)
    status, received = await line.read_head()
    assert status == 200
    return received


# Off by default


async def test_by_default_nothing_is_sent_before_the_answer_is_known(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Half an "), gate, failure("Model exploded"))
    front = await proxy(keep_alive=0.001, first_event_wait=0)
    asked = asyncio.create_task(front.chat(stream=False))
    await agent.until(lambda: agent.runs and agent.runs[0].sent > len(b"".join(OPENING)))
    for _ in range(20):
        await front.get("/healthz")
    assert not asked.done()
    gate.set()
    received = await asked
    assert (received.status, check_error_body(received.body)["code"]) == (502, "agent_error")


async def test_by_default_an_answer_has_a_length_and_begins_at_once(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).chat(stream=False)
    assert received.headers["Content-Length"] == str(len(received.body))
    assert received.headers["Content-Type"] == "application/json"
    assert received.body.startswith(b'{"id":')


# The white space


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_line_ends_come_while_the_agent_works_and_the_answer_behind_them(
    proxy: StartProxy, agent: Agent, path: str
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(**WARM)).dial()
    await line.post(json.dumps({"prompt": "Hi", **json.loads(chat_body(stream=False))}).encode(), path=path)
    status, headers = await line.read_head()
    assert (status, headers["content-type"], headers["transfer-encoding"]) == (200, "application/json", "chunked")
    for _ in range(5):
        assert await line.read_until(b"\r\n\n\r\n") == b"1\r\n\n\r\n", "one line end a chunk"
    gate.set()
    body = await line.read_chunks()
    assert body.lstrip(b"\n").startswith(b"{"), "white space and the answer, nothing else"
    assert json.loads(body)["usage"]["total_tokens"] == 18
    if path.endswith("chat/completions"):
        assert check_body(body.lstrip(b"\n")).text == "Hello"


async def test_an_answer_that_is_quick_needs_none(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy(json_keep_alive=30)).chat(stream=False)
    assert check_body(received.body).text == "Hello"
    assert received.headers["Content-Length"] == str(len(received.body))


async def test_a_stream_has_none(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    front = await proxy(**WARM)
    asked = asyncio.create_task(front.chat())
    await agent.until(lambda: agent.runs)
    for _ in range(20):
        await front.get("/healthz")
    gate.set()
    assert b"\n\n\n" not in (await asked).body


async def test_the_connection_can_be_used_again(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy(**WARM)).dial()
    for _ in range(3):
        gate = asyncio.Event()
        agent.plays(OPENING, gate, text("Hello"), closing())
        await post(line)
        gate.set()
        assert check_body((await line.read_chunks()).lstrip(b"\n")).text == "Hello"


@pytest.mark.parametrize("headers", [(), ("Connection: keep-alive",)])
async def test_a_client_without_chunks_learns_the_end_by_the_close(
    proxy: StartProxy, agent: Agent, headers: tuple[str, ...]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(**WARM)).dial()
    received = await post(line, version="1.0", headers=headers)
    assert received.get("connection") == "close"
    assert "transfer-encoding" not in received
    await line.read_until(b"\n\n")
    gate.set()
    assert check_body((await line.read_to_end()).lstrip(b"\n")).text == "Hello"


async def test_the_official_client_reads_through_it(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())

    async def go_on(response: httpx2.Response) -> None:
        """Called when the headers are in: then white space is on its way."""
        assert "content-length" not in response.headers
        gate.set()

    front = await proxy(**WARM)
    http_client = openai.DefaultAsyncHttpx2Client(event_hooks={"response": [go_on]})
    async with sdk(front, http_client=http_client) as client:
        completion = await client.chat.completions.create(model="owl", messages=QUESTION)
    assert completion.choices[0].message.content == "Hello"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 18


async def test_a_client_that_leaves_meanwhile_releases_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, "stall")
    line = await (await proxy(**WARM)).dial()
    await post(line)
    await line.close()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    await agent.until(lambda: agent.closed_sessions)


async def test_a_client_that_takes_nothing_is_dropped(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("x" * 20_000_000), closing())
    line = await (await proxy(**WARM, send_timeout=0.3)).dial(receive_buffer=4096)
    await post(line)
    gate.set()
    await agent.until(lambda: agent.closed_sessions)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await line.read_chunks()


# Failures


async def test_a_failure_before_the_first_line_end_keeps_its_status(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, failure("429 Too many requests"))
    received = await (await proxy(json_keep_alive=30)).chat(stream=False)
    assert (received.status, check_error_body(received.body)["code"]) == (429, "rate_limit_exceeded")
    assert received.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("steps", WORST_ENDINGS.values(), ids=WORST_ENDINGS)
async def test_a_failure_behind_line_ends_breaks_the_body_off(
    proxy: StartProxy, agent: Agent, steps: list[Step]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, *steps)
    line = await (await proxy(**WARM)).dial()
    await post(line)
    gate.set()
    body = await line.read_to_end()
    assert not body.endswith(b"0\r\n\r\n"), "no last chunk"
    assert b"Half an" not in body


@pytest.mark.parametrize("headers", [(), ("Connection: keep-alive",)])
@pytest.mark.parametrize("steps", WORST_ENDINGS.values(), ids=WORST_ENDINGS)
async def test_a_failure_is_no_json_for_a_client_that_cannot_see_the_break(
    proxy: StartProxy, agent: Agent, steps: list[Step], headers: tuple[str, ...]
) -> None:
    """Without chunks the close is the end: an error object would be a whole answer of status 200."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, *steps)
    line = await (await proxy(**WARM)).dial()
    await post(line, version="1.0", headers=headers)
    gate.set()
    body = await line.read_to_end()
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)


async def test_silence_behind_line_ends_breaks_the_body_off(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, "stall")
    line = await (await proxy(**WARM, silence_timeout=0.1)).dial()
    await post(line)
    body = await line.read_to_end()
    assert not body.endswith(b"0\r\n\r\n")
    await agent.until(lambda: agent.runs[0].outcome == "left")


async def test_the_end_of_the_process_behind_line_ends_breaks_the_body_off(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Half an "), "stall")
    front = await proxy(**WARM)
    line = await front.dial()
    await post(line)
    front.app[SERVER].shutdown.interrupt()
    body = await line.read_to_end()
    assert not body.endswith(b"0\r\n\r\n")
    assert check_error_body(body.splitlines()[-1])["code"] == "answer_cut"
    await agent.until(lambda: agent.closed_sessions)


async def test_what_went_wrong_stands_in_the_broken_body_for_people(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("Model exploded"))
    line = await (await proxy(**WARM)).dial()
    await post(line)
    gate.set()
    ending = (await line.read_to_end()).splitlines()[-1]
    assert check_error_body(ending)["message"] == "The agent failed: Model exploded"


@pytest.mark.parametrize("method", ["add", "body"])
async def test_a_fault_of_the_proxy_behind_line_ends_breaks_the_body_off_too(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*_given: object) -> bytes:
        raise RuntimeError("a detail for the log")

    monkeypatch.setattr(Collector, method, broken)
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(**WARM)
    line = await front.dial()
    await post(line)
    gate.set()
    body = await line.read_to_end()
    assert not body.endswith(b"0\r\n\r\n")
    assert b"HTTP/1.1" not in body, "no second answer inside the first"
    assert b"detail" not in body
    assert (await front.get("/healthz")).status == 200


async def test_a_client_library_raises_instead_of_answering(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("Model exploded"))
    front = await proxy(**WARM)
    async with front.client.post(f"{front.base}/v1/chat/completions", data=chat_body(stream=False)) as response:
        gate.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


def gated(gate: asyncio.Event) -> Callable[[httpx2.Response], Any]:
    async def open_gate(_response: httpx2.Response) -> None:
        gate.set()

    return open_gate


@pytest.mark.parametrize("steps", WORST_ENDINGS.values(), ids=WORST_ENDINGS)
async def test_the_official_client_raises_instead_of_answering(
    proxy: StartProxy, agent: Agent, steps: list[Step]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, *steps)
    front = await proxy(**WARM)
    http_client = openai.DefaultAsyncHttpx2Client(event_hooks={"response": [gated(gate)]})
    async with sdk(front, http_client=http_client) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="owl", messages=QUESTION)
    assert len(agent.runs) == 1
