"""An `Idempotency-Key`, socket to socket: however often a request comes, the agent runs once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from oaicompat_proxy.api.registry import DEFAULT_API
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.answer_stores.stored_answers import NoAnswers
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.idempotency.process_life import ProcessLife
from oaicompat_proxy.server.idempotency.run_once import IdempotentRuns
from oaicompat_proxy.server.process.serve import listening
from tests.support.conformance import PING, check_body, check_error_body, check_stream
from tests.support.leaks import no_tasks_left
from tests.support.processes import free_port
from tests.support.proxy import CHAT, SETTINGS, Line, Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, closing, failure, run, serving, text

KEY = {"Idempotency-Key": "k-1"}
KEY_LINE = ("Idempotency-Key: k-1",)

pytestmark = pytest.mark.parametrize("stream", [True, False])


async def ask(front: Proxy, *, stream: bool, body: bytes = b"", path: str = "", **headers: str) -> Received:
    how = {"path": path} if path else {}
    return await front.post(body or chat_body(stream=stream), headers={**KEY, **headers}, **how)


def text_of(received: Received, *, stream: bool) -> str:
    assert received.status == 200, received.body
    return (check_stream(received.body, include_usage=False) if stream else check_body(received.body)).text


def without_pings(body: bytes) -> bytes:
    return b"".join(event for event in re.findall(rb".*?\n\n", body, re.DOTALL) if not event.endswith(PING))


async def first_line(front: Proxy, agent: Agent, *, stream: bool) -> Line:
    """A client whose request has begun a run."""
    line = await front.dial()
    await line.post(chat_body(stream=stream), headers=KEY_LINE)
    await agent.until(lambda: agent.runs)
    return line


# Joining


async def test_a_second_request_gets_the_stored_answer(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello", " you"))
    front = await proxy()
    first, second = [await ask(front, stream=stream) for _ in range(2)]
    assert text_of(first, stream=stream) == "Hello you"
    assert second.body == first.body
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(agent.runs) == 1


async def test_those_who_come_meanwhile_join(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """At every point of the run; each gets all of it, byte by byte the same but for pings."""
    gates = [asyncio.Event() for _ in range(4)]
    agent.plays(OPENING, *[step for gate in gates for step in (gate, text("word "))], closing())
    front = await proxy(keep_alive=0.01, first_event_wait=60)
    asking: list[asyncio.Task[Received]] = []
    for number, gate in enumerate(gates):
        asking += [asyncio.create_task(ask(front, stream=stream)) for _ in range(3)]
        await agent.until(lambda: agent.runs)
        gate.set()
        sent = agent.runs[0].sent
        if number < 3:
            await agent.until(lambda sent=sent: agent.runs[0].sent > sent)
    answers = await asyncio.gather(*asking)
    assert {text_of(answer, stream=stream) for answer in answers} == {"word " * 4}
    assert len({without_pings(answer.body) for answer in answers}) == 1
    assert len(agent.runs) == 1


async def test_the_agent_goes_on_for_a_client_that_comes_back(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Let "), gate, text("me see"), closing())
    front = await proxy()
    line = await first_line(front, agent, stream=stream)
    if stream:
        await line.read_until(b"Let ")
    line.reset()
    await asyncio.sleep(0.05)
    assert agent.runs[0].outcome == "playing"
    again = asyncio.create_task(ask(front, stream=stream))
    await asyncio.sleep(0.01)
    gate.set()
    assert text_of(await again, stream=stream) == "Let me see"
    assert len(agent.runs) == 1


async def test_a_run_ends_without_a_reader_and_its_answer_waits(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Done"), closing())
    front = await proxy()
    (await first_line(front, agent, stream=stream)).reset()
    await asyncio.sleep(0.05)
    gate.set()
    await agent.until(lambda: agent.closed_sessions)
    assert text_of(await ask(front, stream=stream), stream=stream) == "Done"
    assert len(agent.runs) == 1


async def test_a_joiner_outlives_the_first(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(idempotency_grace=0)
    line = await first_line(front, agent, stream=stream)
    again = asyncio.create_task(ask(front, stream=stream))
    await asyncio.sleep(0.05)
    line.reset()
    await asyncio.sleep(0.05)
    gate.set()
    assert text_of(await again, stream=stream) == "Hello"


async def test_the_older_endpoint_runs_once_too(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    body = json.dumps({"model": "default", "prompt": "Hi", "stream": stream}).encode()
    first, second = [await ask(front, stream=stream, body=body, path="/v1/completions") for _ in range(2)]
    assert (first.status, first.body) == (200, second.body)
    assert len(agent.runs) == 1


# Which requests are the same


@pytest.mark.parametrize(
    ("how", "status", "runs"),
    [
        ({"Idempotency-Key": "k-2"}, 200, 2),
        ({"Authorization": "Bearer another"}, 200, 2),
        ({"X-Session-Id": "mine"}, 409, 1),
        ({"X-Request-Id": "r2", "x-stainless-retry-count": "1"}, 200, 1),
    ],
    ids=str,
)
async def test_the_same_is_the_callers_key_and_session(
    proxy: StartProxy, agent: Agent, stream: bool, how: dict[str, str], status: int, runs: int
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await ask(front, stream=stream)
    assert (await ask(front, stream=stream, **how)).status == status
    assert len(agent.runs) == runs


async def test_a_key_with_another_body_is_a_conflict(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await ask(front, stream=stream)
    refused = await ask(front, stream=stream, body=chat_body("Something else", stream=stream))
    assert (refused.status, refused.headers["x-should-retry"]) == (409, "false")
    assert check_error_body(refused.body)["code"] == "idempotency_key_reused"
    assert len(agent.runs) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_cannot_be_is_named(proxy: StartProxy, agent: Agent, stream: bool, key: str) -> None:
    refused = await ask(await proxy(), stream=stream, **{"Idempotency-Key": key})
    assert refused.status == 400
    assert check_error_body(refused.body)["param"] == "Idempotency-Key"
    assert not agent.runs


# What went wrong


@pytest.mark.parametrize(
    ("steps", "code"),
    [([failure("Overloaded")], "server_is_overloaded"), ([text("Half"), "cut"], "upstream_interrupted")],
)
async def test_a_failure_behind_which_the_agent_may_have_acted_is_kept(
    proxy: StartProxy, agent: Agent, stream: bool, steps: list[Any], code: str
) -> None:
    agent.plays(OPENING, steps)
    front = await proxy()
    first, second = [await ask(front, stream=stream) for _ in range(2)]
    assert (second.status, second.body) == (first.status, first.body)
    assert code in second.body.decode()
    assert len(agent.runs) == 1


@pytest.mark.parametrize("early", [False, True])
async def test_what_never_reached_the_agent_may_run_again(proxy: StartProxy, stream: bool, early: bool) -> None:
    """Also when status 200 was out before that was known."""
    port = free_port()
    front = await proxy(upstream=f"http://127.0.0.1:{port}", first_event_wait=0 if early else 10)
    away = await ask(front, stream=stream)
    assert b"upstream_unreachable" in away.body
    assert away.status == (200 if early and stream else 502)
    async with serving(port) as back:
        back.plays(run("Hello"))
        assert [text_of(await ask(front, stream=stream), stream=stream) for _ in range(2)] == ["Hello"] * 2
        assert len(back.runs) == 1
        await back.until(lambda: not back.left_behind)


async def test_a_request_that_is_refused_may_come_again_mended(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    assert (await ask(front, stream=stream, body=chat_body(stream=stream, n=2))).status == 400
    assert text_of(await ask(front, stream=stream), stream=stream) == "Hello"


async def test_a_handler_that_fails_or_forgets_to_answer_leaves_nobody_waiting(stream: bool) -> None:
    handled = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal handled
        handled += 1
        if stream:
            raise ZeroDivisionError
        return web.Response()

    config = Config(demo=True, port=0)
    once = IdempotentRuns(config, ProcessLife(NoAnswers()))
    app = create_app(config, apis=[])
    app.router.add_post(CHAT, once.wrap(handler, DEFAULT_API))
    async with listening(app, config) as port, aiohttp.ClientSession() as client:
        for _ in range(2):
            async with client.post(f"http://127.0.0.1:{port}{CHAT}", data=b"{}", headers=KEY) as response:
                assert response.status == 500
                check_error_body(await response.read())
    await once.shutdown()
    assert handled == 1


# Nobody reads


@pytest.mark.parametrize("said_first", [True, False])
async def test_after_the_grace_the_run_is_stopped_and_not_run_again(
    proxy: StartProxy, agent: Agent, stream: bool, said_first: bool
) -> None:
    agent.plays(OPENING, [text("Let ")] if said_first else [], "stall")
    front = await proxy(idempotency_grace=0.1)
    (await first_line(front, agent, stream=stream)).reset()
    await agent.until(lambda: agent.runs[0].outcome == "left" and agent.closed_sessions)
    late = await ask(front, stream=stream)
    assert "idempotent_answer_gone" in late.body.decode()
    assert late.status == (200 if stream and said_first else 409)
    assert len(agent.runs) == 1


async def test_who_comes_back_within_the_grace_stops_its_clock(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(idempotency_grace=0.3)
    (await first_line(front, agent, stream=stream)).reset()
    await asyncio.sleep(0.1)
    again = asyncio.create_task(ask(front, stream=stream))
    await asyncio.sleep(0.5)
    gate.set()
    assert text_of(await again, stream=stream) == "Hello"


async def test_a_lasting_session_goes_on_after_the_grace_as_without_a_key(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(idempotency_grace=0)
    line = await front.dial()
    await line.post(chat_body(stream=stream), headers=(*KEY_LINE, "X-Session-Id: mine"))
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    line.reset()
    await asyncio.sleep(0.1)
    gate.set()
    await agent.until(lambda: agent.runs[0].outcome == "played")


async def test_a_proxy_that_stops_stops_what_nobody_reads(agent: Agent, stream: bool) -> None:
    agent.plays(OPENING, "stall")
    config = Config(**{**SETTINGS, "upstream": agent.url, "idempotency_grace": 60.0})
    before = asyncio.all_tasks()
    async with listening(create_app(config), config) as port:
        line = Line(*await asyncio.open_connection("127.0.0.1", port))
        await line.post(chat_body(stream=stream), headers=KEY_LINE)
        await agent.until(lambda: agent.runs)
        line.reset()
        await asyncio.sleep(0.05)
        assert agent.runs[0].outcome == "playing"
    await agent.until(lambda: agent.runs[0].outcome == "left" and not agent.left_behind)
    await no_tasks_left(besides=before | agent.tasks, allowed=())


# Bounds


async def test_an_answer_is_kept_for_a_while(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy(idempotency_ttl=0.2)
    await ask(front, stream=stream)
    await ask(front, stream=stream)
    assert len(agent.runs) == 1
    await asyncio.sleep(0.3)
    assert text_of(await ask(front, stream=stream), stream=stream) == "Hello"
    assert len(agent.runs) == 2


async def test_an_answer_that_is_too_long_reaches_those_who_read_it(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    """Who comes later gets neither half an answer nor a second run."""
    agent.plays(run(*["word " * 50] * 40))
    front = await proxy(max_idempotent_answer=5000)
    assert text_of(await ask(front, stream=stream), stream=stream) == "word " * 2000
    late = await ask(front, stream=stream)
    assert (late.status, late.headers["x-should-retry"]) == (409, "false")
    assert check_error_body(late.body)["code"] == "idempotent_answer_gone"
    assert len(agent.runs) == 1


async def test_the_oldest_is_forgotten_and_what_runs_is_not(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.replies("/send", Reply(run("Hello")), Reply([*OPENING, gate, text("Slow"), *closing()]))
    front = await proxy(max_idempotent=1)
    await ask(front, stream=stream, **{"Idempotency-Key": "k-0"})
    slow = asyncio.create_task(ask(front, stream=stream))
    await agent.until(lambda: len(agent.runs) == 2)
    full = await ask(front, stream=stream, **{"Idempotency-Key": "k-2"})
    assert (full.status, full.headers["x-should-retry"]) == (503, "true")
    assert check_error_body(full.body)["code"] == "idempotency_full"
    gate.set()
    assert text_of(await slow, stream=stream) == "Slow"
    assert len(agent.runs) == 2


class Bare(dict[Any, Any]):
    """A request, as far as it is looked at."""

    headers: Mapping[str, str] = MappingProxyType({})


def test_a_request_without_a_key_goes_straight_to_its_handler(stream: bool) -> None:
    """Such a request costs one look-up of a header, without a task and a buffer."""

    async def handler(request: Any) -> Any:
        return request

    wrapped: Any = IdempotentRuns(Config(demo=True), ProcessLife(NoAnswers())).wrap(handler, DEFAULT_API)
    bare = Bare()
    steps = wrapped(bare)
    with pytest.raises(StopIteration) as stopped:
        steps.send(None)
    assert stopped.value.value is bare
    assert bare == {}
