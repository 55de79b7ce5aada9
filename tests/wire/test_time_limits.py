"""Each limit of time: an HTTP error before the commit, an error frame after it; the run is stopped either way."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import check_error_body, check_stream
from tests.support.fake_clock import timers
from tests.support.proxy import Received, StartProxy, chat_body
from tests.support.proxy_harness import Chat, StartFront
from tests.support.scripted_gateway import OPENING, Agent, Reply, Step, run, text

pytest_plugins = ["tests.support.proxy_fixtures"]

SHORT = 0.2


class Chatty:
    """An agent that goes round in circles."""

    def __iter__(self) -> Any:
        yield from OPENING
        for number in itertools.count():
            yield text(f"round {number} ")
            gate = asyncio.Event()
            asyncio.get_running_loop().call_later(0.01, gate.set)
            yield gate


@dataclass(frozen=True)
class Limit:
    """A fault of an agent, and the limit that ends the run."""

    name: str
    code: str
    settings: dict[str, Any]
    reply: Reply
    commits: bool = False
    """The agent sends an event before the limit is over."""

    def __str__(self) -> str:
        return self.name


SILENT: list[Step] = ["stall"]
LIMITS = [
    Limit("no head", "upstream_start_timeout", {"first_event_timeout": SHORT}, Reply(SILENT, framing="raw")),
    Limit("no first byte", "upstream_start_timeout", {"first_event_timeout": SHORT}, Reply(SILENT)),
    Limit("silence", "upstream_timeout", {"silence_timeout": SHORT}, Reply([*OPENING, "stall"])),
    Limit(
        "silence behind a word", "upstream_timeout", {"silence_timeout": SHORT}, Reply([*run("A")[:4], "stall"]), True
    ),
    Limit("a run without a head", "agent_run_timeout", {"run_timeout": SHORT}, Reply(SILENT, framing="raw")),
    Limit("a silent run", "agent_run_timeout", {"run_timeout": SHORT}, Reply([*OPENING, "stall"])),
    Limit("a run in circles", "agent_run_timeout", {"run_timeout": SHORT}, Reply(Chatty()), True),
]


def error_of(received: Received) -> dict[str, Any]:
    if received.status == 200:
        error = check_stream(received.body, include_usage=False).error
        assert error is not None
        return error
    return check_error_body(received.body)


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("asked", ["streamed", "streamed, committed early", "whole"])
async def test_the_limit_has_its_own_error_and_stops_the_run(
    proxy: StartProxy, agent: Agent, limit: Limit, asked: str
) -> None:
    agent.replies("/send", limit.reply)
    early = {"first_event_wait": 0.0} if asked == "streamed, committed early" else {}
    received = await (await proxy(**limit.settings, **early)).chat(stream=asked != "whole")
    committed = asked != "whole" and (limit.commits or bool(early))
    assert received.status == (200 if committed else 504)
    assert error_of(received)["code"] == limit.code
    if not committed:
        assert received.headers["x-should-retry"] == "false"
    await agent.until(lambda: agent.runs[0].outcome == "left" and agent.closed_sessions)
    assert len(agent.runs) == 1


async def test_a_first_byte_is_enough_for_a_beginning(proxy: StartProxy, agent: Agent) -> None:
    """Afterwards the agent may think for as long as it may be silent."""
    gate = asyncio.Event()
    agent.plays(OPENING[:1], gate, run("Hello")[1:])
    front = await proxy(first_event_timeout=SHORT)
    chat = asyncio.create_task(front.chat())
    await asyncio.sleep(2 * SHORT)
    gate.set()
    assert check_stream((await chat).body, include_usage=False).text == "Hello"


@pytest.mark.parametrize("stream", [True, False])
async def test_zero_is_no_limit(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(gate, run("Hello"))
    front = await proxy(first_event_timeout=0, run_timeout=0)
    chat = asyncio.create_task(front.chat(stream=stream))
    await agent.until(lambda: agent.runs)
    await asyncio.sleep(0.05)
    gate.set()
    assert (await chat).status == 200


async def test_a_run_that_ends_in_time_leaves_no_timer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(run_timeout=1000, first_event_timeout=700, silence_timeout=5000)
    assert (await front.chat()).status == 200
    loop: Any = asyncio.get_running_loop()
    due = [timer.when() - loop.time() for timer in timers()]
    assert not [seconds for seconds in due if 100 < seconds < 1100], "the nearer ones are of the session's close"


@pytest.mark.usefixtures("wire")
async def test_a_lasting_session_whose_run_took_too_long_begins_anew(front: StartFront) -> None:
    """A run can be stopped only with its session; the name is free again at once."""
    there = await front(GatewaySettings(pace=0), run_timeout=1.0, session_wait=5)
    received = await there.post("[[scenario:silent]]", name="mine")
    assert error_of(received)["code"] == "agent_run_timeout"
    await there.at_rest()
    assert (await Chat(there, name="mine").say("Hi")).finish_reason == "stop"
    there.keep_sessions()


async def test_a_body_that_does_not_come_is_a_408_that_may_be_sent_again(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy(body_timeout=0.1)).dial()
    await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
    status, headers = await line.read_head()
    assert (status, headers["x-should-retry"]) == (408, "true")
    assert b"request_timeout" in await line.read(65536)
    assert not agent.runs


async def test_a_client_that_takes_nothing_is_dropped_and_its_run_stopped(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, *[text("x" * 100_000)] * 300, "stall")
    line = await (await proxy(send_timeout=SHORT)).dial(receive_buffer=4096)
    await line.post(chat_body())
    await agent.until(lambda: agent.runs and agent.runs[0].outcome == "left")
