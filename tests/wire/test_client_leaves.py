"""The client leaves, the agent stops: at once, whatever kind of gateway it is, and whatever the agent is doing.

Real gateways go on when a connection is lost, and ignore `/abort`; so does the demo gateway. What stops a run there
is closing its session.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.runtime import RUNTIME
from oaicompat_proxy.server.upstream import session_closer as closing
from tests.support.conformance import PING
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.proxy_harness import Chat, Front, StartFront, function
from tests.support.raw_client import leave
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, text

pytest_plugins = ["tests.support.proxy_fixtures"]

GATEWAYS: dict[str, dict[str, Any]] = {
    "embedded, 0.9.4": {"form": "embedded", "release": "0.9.4"},
    "standalone, 0.9.4": {"form": "standalone", "release": "0.9.4"},
    "embedded, newer": {"form": "embedded", "release": "924f879", "close_works": False},
    "standalone, newer": {"form": "standalone", "release": "924f879", "close_works": False},
    "embedded, 0.14": {"form": "embedded", "wire": "0.14", "close_works": False},
    "standalone, 0.14": {"form": "standalone", "wire": "0.14", "close_works": False},
}
"""The newer ones close by `/invoke`; that their `/close` is switched off shows that it is not what helps."""

PROMPTS = {"silent": "[[scenario:silent]]", "talking": "[[scenario:long]]", "slow": "[[scenario:slow]]"}


def gateway(kind: str, **more: Any) -> GatewaySettings:
    return GatewaySettings(**{**GATEWAYS[kind], "pace": 0.01, **more})


async def test_without_the_proxy_the_gateway_goes_on(front: StartFront) -> None:
    """A gateway that notices neither that its reader leaves nor an abort."""
    there = await front(gateway("standalone, 0.9.4", pace=0.005))
    message = {"role": "user", "content": [{"type": "text", "text": "[[scenario:long]]"}]}
    async with aiohttp.ClientSession(there.url) as client:
        async with client.post("/send", json={"sessionId": "s1", "message": message}) as response:
            await response.content.readany()
        async with client.post("/abort", json={"sessionId": "s1"}) as response:
            assert await response.json() == {"ok": True}
        async with client.post("/close", json={"sessionId": "s1"}) as response:
            assert await response.json() == {"ok": True}, "and it says that it has closed, if nobody listens"
    await there.until(lambda: there.runs[0].reader_left)
    assert there.runs[0].status == "running"
    await there.close_all_sessions()


@pytest.mark.parametrize("kind", GATEWAYS)
@pytest.mark.parametrize("doing", PROMPTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_the_run_stops_when_its_reader_leaves(front: StartFront, kind: str, doing: str, stream: bool) -> None:
    there = await front(gateway(kind))
    line = await there.line(PROMPTS[doing], stream=stream)
    await there.until(lambda: there.running)
    if stream and doing == "talking":
        await line.read_until(b"word3 ")
    await line.close()
    await there.until(lambda: there.runs[0].status == "aborted", within=2)
    await there.until(lambda: there.runs[0].reader_left or not there.sessions, within=2)
    await there.at_rest()


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("stream", [True, False])
async def test_however_it_leaves(front: StartFront, how: str, stream: bool) -> None:
    there = await front(gateway("embedded, 0.9.4"))
    line = await there.line("[[scenario:silent]]", stream=stream)
    await there.until(lambda: there.running)
    await leave(line, how)
    await there.until(lambda: there.runs[0].status == "aborted", within=2)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reader_that_leaves_while_the_line_is_kept_warm(front: StartFront, stream: bool) -> None:
    there = await front(gateway("embedded, 0.9.4"), first_event_wait=0.01, keep_alive=0.01, json_keep_alive=0.01)
    line = await there.line("[[scenario:silent]]", stream=stream)
    await line.read_until(PING if stream else b"\r\n\n\r\n")
    await line.close()
    await there.until(lambda: there.runs[0].status == "aborted", within=2)


@pytest.mark.usefixtures("no_close_pauses")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("result", [[], [text("Well")]])
async def test_the_connection_to_the_gateway_is_released_at_once(
    proxy: StartProxy, agent: Agent, stream: bool, result: list[bytes]
) -> None:
    """Also when closing the session does not end."""
    agent.plays(OPENING, result, "stall")
    agent.replies("/close", Reply(["stall"], framing="raw"))
    front = await proxy(close_timeout=0.1)
    line = await front.dial()
    await line.post(chat_body(stream=stream))
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    await line.close()
    async with asyncio.timeout(1):
        await agent.until(lambda: agent.runs[0].outcome == "left")


async def test_the_reader_of_older_completions_may_leave_too(front: StartFront) -> None:
    there = await front(gateway("embedded, 0.9.4"))
    line = await there.proxy.dial()
    body = json.dumps({"model": "demo", "prompt": "[[scenario:silent]]", "stream": True}).encode()
    await line.post(body, path="/v1/completions")
    await there.until(lambda: there.running)
    await line.close()
    await there.until(lambda: there.runs[0].status == "aborted", within=2)


async def test_an_answer_that_ended_with_the_clients_tool_stops_the_run_too(front: StartFront) -> None:
    """The agent's next events, after a result that the gateway has invented, reach no client."""
    there = await front(gateway("embedded, 0.9.4", pace=0.1))
    tools = [function("tide")]
    answer_ = await there.ask("[[scenario:client_tool_faked]]", tools=tools)
    assert answer_.finish_reason == "tool_calls"
    await there.until(lambda: there.runs[0].status != "running", within=2)
    assert there.runs[0].status == "aborted"


# How many connections that takes


def requests(there: Front, path: str) -> list[bytes]:
    return [body for each, body in there.gateway_state.requests if each == path]


async def test_one_connection_listens_to_a_standalone_gateway(
    front: StartFront,
) -> None:
    there = await front(gateway("standalone, 0.9.4", pace=0))
    assert not there.gateway_state.subscribers, "nobody has to be closed yet"
    await there.ask("Hi")
    await there.at_rest()
    (subscriber,) = there.gateway_state.subscribers
    await asyncio.gather(*(there.ask("Hi") for _ in range(10)))
    await there.at_rest()
    assert [*there.gateway_state.subscribers] == [subscriber]


async def test_a_gateway_that_closes_by_invoke_is_not_listened_to(front: StartFront) -> None:
    there = await front(gateway("standalone, newer", pace=0))
    await there.ask("Hi")
    await there.at_rest()
    assert not there.gateway_state.subscribers


async def test_the_connection_that_listens_is_made_again_when_it_was_lost(front: StartFront) -> None:
    there = await front(gateway("standalone, 0.9.4", pace=0, heartbeat=0.01))
    await there.ask("Hi")
    await there.at_rest()
    (first,) = there.gateway_state.subscribers
    for task in asyncio.all_tasks():
        if task.get_name() == "listen to the gateway":
            task.cancel()
    await there.until(lambda: not there.gateway_state.subscribers)
    await there.ask("Hi")
    await there.at_rest()
    (second,) = there.gateway_state.subscribers
    assert second != first


async def test_the_listener_leaves_with_the_proxy(front: StartFront) -> None:
    there = await front(gateway("standalone, 0.9.4", pace=0, heartbeat=0.01))
    await there.ask("Hi")
    await there.at_rest()
    await there.proxy.app.shutdown()
    assert len(there.gateway_state.subscribers) == 1, "as long as it may have to close"


# Sessions that keep their history


@pytest.mark.parametrize("stream", [True, False])
async def test_a_named_session_keeps_its_run_and_its_history(front: StartFront, stream: bool) -> None:
    there = await front(gateway("embedded, 0.9.4", pace=0.0005))
    line = await there.line("[[scenario:slow]]", name="harbour", stream=stream)
    await there.until(lambda: there.running)
    await line.close()
    await there.until(lambda: there.runs[0].status == "finished")
    assert not requests(there, "/close")
    await there.ask("And?", name="harbour")
    (session,) = there.gateway_state.sessions
    assert len(session.timeline) == 4
    there.keep_sessions()


@pytest.mark.parametrize("kind", ["embedded, 0.14", "standalone, 0.14"])
@pytest.mark.parametrize("stream", [True, False])
async def test_where_runs_can_be_aborted_only_the_turn_is_lost(front: StartFront, kind: str, stream: bool) -> None:
    there = await front(gateway(kind, pace=0.001))
    await there.ask("When is high tide?", name="harbour")
    line = await there.line("[[scenario:silent]]", name="harbour", stream=stream)
    await there.until(lambda: there.running)
    await line.close()
    await there.until(lambda: there.runs[1].status == "aborted", within=2)
    await there.ask("And low tide?", name="harbour")
    (session,) = there.gateway_state.sessions
    assert len(session.timeline) == 4
    there.keep_sessions()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_recognised_session_is_closed_when_its_reader_leaves(front: StartFront, stream: bool) -> None:
    """Its history would have half a turn, whose end the client never got; so the next turn has the conversation."""
    there = await front(gateway("embedded, 0.9.4", pace=0.001), sessions="recognise")
    chat = Chat(there)
    await chat.say("When is high tide?")
    messages = [*chat.messages, {"role": "user", "content": "[[scenario:silent]]"}]
    line = await there.line(messages, stream=stream)
    await there.until(lambda: there.running)
    assert there.runs[0].session_key == there.runs[1].session_key
    await line.close()
    await there.until(lambda: there.runs[1].status == "aborted", within=2)
    await there.at_rest()
    await chat.say("And low tide?")
    assert "Conversation so far: 2 messages" in there.prompt()
    there.keep_sessions()


# Figures


async def test_a_hundred_runs_stop_within_a_second_of_their_readers_leaving(
    front: StartFront, capsys: pytest.CaptureFixture[str]
) -> None:
    figures: dict[str, list[float]] = {}
    for kind in GATEWAYS:
        there = await front(gateway(kind))
        figures[kind] = [await measure(there, number) for number in range(100)]
        assert there.gateway_state.runs.running == 0
        assert there.gateway_state.runs.aborted == there.gateway_state.runs.started == 100
        assert there.sessions == []
    with capsys.disabled():
        print()  # noqa: T201
        for kind, seconds in figures.items():
            print(summary(kind, seconds))  # noqa: T201
    for seconds in figures.values():
        assert percentile(seconds, 99) < 1


async def measure(there: Front, number: int) -> float:
    """Seconds from one reader's leaving to the end of its run; every kind of silence and of answer in turn."""
    line = await there.line(PROMPTS[("silent", "talking", "slow")[number % 3]], stream=bool(number % 2))
    await there.until(lambda: there.gateway_state.runs.started == number + 1)
    run = there.runs[-1]
    left = time.perf_counter()
    line.reset()
    await there.until(lambda: run.status != "running")
    return time.perf_counter() - left


async def test_a_hundred_readers_that_leave_together(front: StartFront, capsys: pytest.CaptureFixture[str]) -> None:
    """As after a restart of the nginx in front."""
    there = await front(gateway("standalone, 0.9.4"))
    lines = await asyncio.gather(
        *(there.line(PROMPTS["silent" if n % 2 else "slow"], stream=bool(n % 3)) for n in range(100))
    )
    await there.until(lambda: there.running == 100)
    left = time.perf_counter()
    for line in lines:
        line.reset()
    await there.until(lambda: not there.running)
    seconds = time.perf_counter() - left
    with capsys.disabled():
        print(f"\n100 readers leave together: the last run stops after {seconds * 1000:.0f} ms")  # noqa: T201
    assert seconds < 1
    assert there.gateway_state.runs.aborted == 100
    await there.at_rest()


def percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def summary(kind: str, seconds: list[float]) -> str:
    median, p99 = statistics.median(seconds) * 1000, percentile(seconds, 99) * 1000
    return f"from disconnect to stopped run, {kind:18}: median {median:5.1f} ms, p99 {p99:5.1f} ms"


# A close that fails


def closer(front: Proxy) -> closing.GatewaySessionCloser:
    return front.app[RUNTIME].closer


def closes(agent: Agent) -> int:
    return sum(each.path == "/close" for each in agent.exchanges)


@pytest.mark.usefixtures("no_close_pauses")
@pytest.mark.parametrize("reply", [answer({}, 503), Reply(["cut"]), Reply(["reset"], framing="raw")])
async def test_a_close_that_fails_is_tried_again(proxy: StartProxy, agent: Agent, reply: Reply) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    agent.replies("/close", reply, reply, answer({"ok": True}))
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body())
    await line.read_until(b"Well")
    await line.close()
    await agent.until(lambda: closes(agent) == 3)
    await closer(front).shutdown()
    assert closes(agent) == 3
    assert closer(front).gave_up == 0


@pytest.mark.usefixtures("no_close_pauses")
@pytest.mark.parametrize("reply", [answer({}, 500), Reply(["stall"], framing="raw")])
async def test_a_close_that_keeps_failing_is_given_up_and_counted(
    proxy: StartProxy, agent: Agent, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(OPENING, text("Well"), "stall")
    agent.replies("/close", reply)
    front = await proxy(close_timeout=0.05)
    line = await front.dial()
    await line.post(chat_body())
    await line.read_until(b"Well")
    agent.kept_sessions.add(agent.runs[0].session)
    await line.close()
    await agent.until(lambda: closes(agent) == closing.ATTEMPTS)
    await closer(front).shutdown()
    assert closes(agent) == closing.ATTEMPTS
    assert "could not be closed" in caplog.text
    assert closer(front).gave_up == 1
