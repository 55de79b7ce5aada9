"""A whole message that takes long: its connection is never silent for 300 s, and a failure runs the agent once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx2
import pytest

from oaicompat_proxy.api.anthropic.request.retries import MAX_SILENCE
from tests.support.fake_clock import timers
from tests.support.messages_conformance import check_message_error
from tests.support.proxy import CHAT, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, failure, text

pytest_plugins = ["tests.support.proxy_fixtures"]

pytestmark = pytest.mark.usefixtures("named_sessions_stay_open")

MESSAGES = "/v1/messages"
BODY = {"model": "default", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
TOOLS: list[Any] = [{"name": "tide", "input_schema": {"type": "object"}}]
SESSION = {"X-Claude-Code-Session-Id": "0b0b3b0e-5f0a-4bd5-a6a1-0b0b3b0e5f0a"}
NAMES: dict[str, dict[str, str]] = {"a session": SESSION, "nothing": {}}


def due() -> list[float]:
    """Seconds to each timer of the loop."""
    loop = asyncio.get_running_loop()
    return [timer.when() - loop.time() for timer in timers()]


def has_keep_alive() -> bool:
    return any(MAX_SILENCE - 30 < seconds <= MAX_SILENCE for seconds in due())


@pytest.mark.parametrize(("path", "expected"), [(MESSAGES, True), (CHAT, False)])
@pytest.mark.parametrize("seconds", [0, 1000])
async def test_without_a_setting_white_space_is_due_before_claude_code_gives_up(
    proxy: StartProxy, agent: Agent, path: str, seconds: float, expected: bool
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(json_keep_alive=seconds)
    asked = asyncio.create_task(front.post(json.dumps({**BODY, "stream": False}).encode(), path=path))
    await agent.until(lambda: agent.runs and agent.runs[0].sent)
    assert has_keep_alive() is expected
    gate.set()
    received = await asked
    assert received.headers["Content-Length"] == str(len(received.body)), "it was quick"
    assert not has_keep_alive()


@pytest.mark.parametrize("named", NAMES)
async def test_a_failure_behind_white_space_is_a_status_when_the_client_asks_again(
    proxy: StartProxy, agent: Agent, named: str
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("no luck"))
    front = await proxy(json_keep_alive=0.005)
    body = json.dumps({**BODY, "tools": TOOLS, "stream": False}).encode()
    line = await front.dial()
    await line.post(body, path=MESSAGES, headers=[f"{name}: {value}" for name, value in NAMES[named].items()])
    status, _ = await line.read_head()
    assert status == 200
    gate.set()
    assert not (await line.read_to_end()).endswith(b"0\r\n\r\n"), "the body has no end"
    again = await front.post(body, path=MESSAGES, headers=NAMES[named])
    assert (again.status, again.headers["x-should-retry"]) == (502, "false")
    assert "no luck" in check_message_error(again.body)["message"]
    assert len(agent.runs) == 1


@pytest.mark.parametrize("named", NAMES)
async def test_the_official_client_runs_the_agent_once(proxy: StartProxy, agent: Agent, named: str) -> None:
    """It repeats a request whose answer was broken off, without being asked to."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("no luck"))
    statuses: list[int] = []

    async def go_on(response: httpx2.Response) -> None:
        """Called when the headers are in: then white space is on its way."""
        statuses.append(response.status_code)
        gate.set()

    front = await proxy(json_keep_alive=0.005)
    http_client = anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [go_on]})
    settings: dict[str, Any] = {"api_key": "k", "default_headers": NAMES[named]}
    async with anthropic.AsyncAnthropic(base_url=front.base, http_client=http_client, **settings) as client:
        with pytest.raises(anthropic.APIStatusError, match="no luck"):
            await client.messages.create(
                model="default", max_tokens=100, messages=[{"role": "user", "content": "Hi"}], tools=TOOLS
            )
    assert statuses == [200, 502]
    assert len(agent.runs) == 1
