"""What survives what: responses of real processes, whose readers, workers, Redis and gateway go away.

The table in api/openai/responses/README.md has a row for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.conformance import check_error_body
from tests.support.processes import Child, port_of, proxy_before
from tests.support.proxy import Line
from tests.support.proxy_harness import RedisServer
from tests.support.responses_conformance import check_response_body, check_response_stream, without_keep_alives
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, closing, run, text
from tests.unit.server.endpoints.test_models import apps

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES = "/responses"
FINAL = ("completed", "failed", "cancelled", "incomplete")
DEATH = 40.0
"""Seconds after which a killed process is dead for all others, on a busy machine."""
KEY = {"Idempotency-Key": "k-1"}

WORKERS = {"alone": [], "with workers": ["--workers", "2"]}


@dataclass
class Server:
    """A proxy of its own process, or of several."""

    child: Child
    base: str
    client: aiohttp.ClientSession
    lines: list[Line] = field(default_factory=list)

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, bytes]:
        async with self.client.request(method, self.base + RESPONSES + path, **how) as response:
            return response.status, await response.read()

    async def post(self, **fields: Any) -> Any:
        status, body = await self.call("POST", "", data=request(**fields))
        assert status == 200, body
        return json.loads(body)

    async def get(self, answer_id: str) -> Any:
        status, body = await self.call("GET", f"/{answer_id}")
        assert status == 200, body
        return json.loads(body)

    async def ended(self, answer_id: str, within: float = PATIENCE) -> Any:
        """The response, polled until it is final."""
        async with asyncio.timeout(within):
            while (response := await self.get(answer_id))["status"] not in FINAL:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return response

    async def follow(self, answer_id: str, query: str = "") -> bytes:
        status, body = await self.call("GET", f"/{answer_id}?stream=true{query}")
        assert status == 200, body
        return body

    async def dial(self, below: str) -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", port_of(self.base.removesuffix("/v1"))))
        await line.send(f"GET /v1/responses/{below} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.lines.append(line)
        return line

    async def status(self) -> int:
        return await asyncio.to_thread(self.child.status)

    async def kill(self) -> None:
        """Without a word; a process with workers dies with them."""
        os.killpg(self.child.pid, signal.SIGKILL)
        await self.status()


def request(**fields: Any) -> bytes:
    return json.dumps({"model": "default", "input": "Hi", **fields}).encode()


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start(agent: Agent) -> AsyncIterator[Start]:
    """Starts proxies in front of the agent; the arguments are flags."""
    agent.replies("/invoke", apps("default"))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def one(*flags: str) -> Server:
            child, base = await stack.enter_async_context(proxy_before(agent.url, *flags))
            servers.append(Server(child, base + "/v1", client))
            return servers[-1]

        servers: list[Server] = []
        yield one
        for each in servers:
            for line in each.lines:
                await line.close()


@pytest.fixture
def pair(start: Start, redis_server: RedisServer) -> Callable[..., Awaitable[list[Server]]]:
    """Two processes that share a Redis."""

    async def both(*flags: str) -> list[Server]:
        return list(await asyncio.gather(*(start("--redis", redis_server.url, *flags) for _ in "ab")))

    return both


# Two workers and Redis


async def test_a_run_is_followed_cancelled_and_named_at_any_worker(pair: Any, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    a, b = await pair()
    asked = [each.call("POST", "", data=request(background=True), headers=KEY) for each in (a, b, b, a)]
    (answer_id,) = {json.loads(body)["id"] for _, body in await asyncio.gather(*asked)}
    line = await b.dial(f"{answer_id}?stream=true")
    await line.read_until(b'"delta":"Hello"')
    line.reset()
    following = [asyncio.create_task(each.follow(answer_id, "&starting_after=4")) for each in (a, b)]
    gate.set()
    here, there = [without_keep_alives(await each, after=4) for each in following]
    assert here == there
    whole = await b.follow(answer_id)
    assert check_response_stream(whole).text == "Hello there"
    assert whole.endswith(there)
    assert await a.get(answer_id) == await b.get(answer_id)
    assert len(agent.runs) == 1
    agent.plays(OPENING, text("Hello"), "stall")
    second = (await a.post(background=True))["id"]
    await agent.until(lambda: len(agent.runs) == 2)
    for each in (b, a, b):
        assert (await each.call("POST", f"/{second}/cancel"))[0] == 200
    await agent.until(lambda: agent.runs[1].outcome == "left")
    assert (await b.get(second))["status"] == "cancelled"
    assert (await b.get(answer_id))["status"] == "completed"


async def test_nobody_reaches_anothers_response_at_any_worker(pair: Any, agent: Agent) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    a, b = await pair("--api-key", "alice", "--api-key", "bob")
    alice, bob = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))
    _, body = await a.call("POST", "", data=request(background=True), headers=alice)
    answer_id = json.loads(body)["id"]
    await agent.until(lambda: agent.runs)
    for method, below in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        for worker in (a, b):
            assert (await worker.call(method, f"/{answer_id}{below}", headers=bob))[0] == 404
    assert agent.runs[0].outcome == "playing"
    assert (await b.call("POST", f"/{answer_id}/cancel", headers=alice))[0] == 200


async def test_a_worker_is_killed(pair: Any, agent: Agent) -> None:
    """A poll, a retry and a reader get a failure; none waits without end, and none runs it again."""
    agent.plays(OPENING, text("Hello"), "stall")
    a, b = await pair()
    status, body = await a.call("POST", "", data=request(background=True), headers=KEY)
    answer_id = json.loads(body)["id"]
    line = await b.dial(f"{answer_id}?stream=true")
    await line.read_until(b'"delta":"Hello"')
    await a.kill()
    assert (await b.get(answer_id))["status"] == "in_progress", "it may only be slow"
    for mark in (b"event: error", b"event: response.failed"):
        await line.read_until(mark, within=DEATH)
    response = await b.ended(answer_id, within=DEATH)
    assert (response["status"], response["error"]["message"]) == (
        "failed",
        "The process that made this answer has stopped before its end.",
    )
    status, body = await b.call("POST", "", data=request(background=True), headers=KEY)
    assert (status, json.loads(body)["id"], json.loads(body)["status"]) == (200, answer_id, "failed")
    assert len(agent.runs) == 1
    await agent.until(lambda: agent.runs[0].outcome == "left")
    agent.kept_sessions.add(agent.runs[0].session)


async def test_redis_is_flushed(pair: Any, agent: Agent, redis_server: RedisServer) -> None:
    """Responses that were final are gone; one that is made comes back, and is not run twice."""
    gate = asyncio.Event()
    agent.plays(run("Early"))
    a, b = await pair()
    early = (await a.post())["id"]
    agent.plays(OPENING, text("Hello"), gate, closing())
    _, body = await a.call("POST", "", data=request(background=True), headers=KEY)
    late = json.loads(body)["id"]
    line = await b.dial(f"{late}?stream=true")
    await line.read_until(b'"delta":"Hello"')
    redis_server.flush()
    again = asyncio.create_task(b.call("POST", "", data=request(background=True), headers=KEY))
    assert (await b.call("GET", f"/{early}"))[0] == 404
    async with asyncio.timeout(PATIENCE):
        while (await b.call("GET", f"/{late}"))[0] == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    status, body = await again
    assert (status, json.loads(body)["id"]) == (200, late)
    gate.set()
    await line.read_until(b"event: response.completed")
    assert (await b.ended(late))["status"] == "completed"
    status, body = await b.call("POST", "", data=request(previous_response_id=early))
    assert check_error_body(body)["code"] == "previous_response_not_found"
    assert len(agent.runs) == 2


# A file, over a restart


async def test_a_restart_with_a_file(start: Start, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    flags = "--response-db", str(tmp_path / "responses.db")
    first = await start(*flags)
    answer_id = (await first.post())["id"]
    _, body = await first.call("POST", "", data=request(background=True), headers=KEY)
    named = json.loads(body)["id"]
    await first.ended(named)
    first.child.signal(signal.SIGTERM)
    assert await first.status() == 0
    later = await start(*flags)
    for each in (answer_id, named):
        assert check_response_body(json.dumps(await later.get(each)).encode()).text == "Hello"
    _, body = await later.call("POST", "", data=request(background=True), headers=KEY)
    assert (json.loads(body)["id"], json.loads(body)["status"]) == (named, "completed")
    await later.post(previous_response_id=answer_id)
    assert len(agent.runs) == 3


async def test_a_process_with_a_file_is_killed(start: Start, agent: Agent, tmp_path: Path) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    flags = "--response-db", str(tmp_path / "responses.db")
    first = await start(*flags)
    _, body = await first.call("POST", "", data=request(background=True), headers=KEY)
    answer_id = json.loads(body)["id"]
    await agent.until(lambda: agent.runs)
    await first.kill()
    later = await start(*flags)
    _, body = await later.call("POST", "", data=request(background=True), headers=KEY)
    assert json.loads(body)["id"] == answer_id
    assert (await later.ended(answer_id, within=DEATH))["status"] == "failed"
    _, body = await later.call("POST", f"/{answer_id}/cancel")
    assert json.loads(body)["status"] == "failed", "final is final"
    assert len(agent.runs) == 1
    agent.kept_sessions.add(agent.runs[0].session)


# Stopping, reloading, replacing


@pytest.mark.parametrize("flags", WORKERS.values(), ids=WORKERS)
async def test_a_run_that_fits_is_waited_for(
    start: Start, agent: Agent, redis_server: RedisServer, flags: list[str]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    flags = [*flags, "--redis", redis_server.url, "--drain-timeout", "30"]
    first, other = await asyncio.gather(start(*flags), start("--redis", redis_server.url))
    answer_id = (await first.post(background=True))["id"]
    await agent.until(lambda: agent.runs)
    following = asyncio.create_task(other.follow(answer_id))
    first.child.signal(signal.SIGTERM)
    await asyncio.to_thread(first.child.wait_for, "graceful shutdown|Handling signal: term")
    assert (await other.get(answer_id))["status"] == "in_progress"
    gate.set()
    assert check_response_stream(await following).text == "Hello"
    assert await first.status() == 0
    assert (await other.get(answer_id))["status"] == "completed"


@pytest.mark.parametrize("flags", WORKERS.values(), ids=WORKERS)
async def test_a_run_that_does_not_fit_is_failed_with_the_reason(
    start: Start, agent: Agent, redis_server: RedisServer, flags: list[str]
) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    flags = [*flags, "--redis", redis_server.url, "--drain-timeout", "0.5"]
    first, other = await asyncio.gather(start(*flags), start("--redis", redis_server.url))
    answer_id = (await first.post(background=True))["id"]
    line = await other.dial(f"{answer_id}?stream=true")
    await line.read_until(b'"delta":"Hello"')
    first.child.signal(signal.SIGTERM)
    rest = await line.read_until(b"event: response.failed")
    assert b"This server is stopping" in rest
    assert await first.status() != 0
    response = await other.get(answer_id)
    assert response["status"] == "failed"
    assert "This server is stopping" in response["error"]["message"]


@pytest.mark.parametrize("flags", WORKERS.values(), ids=WORKERS)
async def test_a_reload_loses_no_run(start: Start, agent: Agent, redis_server: RedisServer, flags: list[str]) -> None:
    """Each worker is replaced by a new one, which reads the answers that the old one still makes."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    server = await start(*flags, "--redis", redis_server.url)
    answer_id = (await server.post(background=True))["id"]
    await agent.until(lambda: agent.runs)
    server.child.signal(signal.SIGHUP)
    again = "configuration reloaded" if not flags else r"(?s)configuration reloaded.*Booting worker.*Booting worker"
    await asyncio.to_thread(server.child.wait_for, again)
    following = await server.dial(f"{answer_id}?stream=true")
    await following.read_until(b'"delta":"Hello"')
    gate.set()
    await following.read_until(b"response.completed")
    assert (await server.ended(answer_id))["status"] == "completed"
    assert len(agent.runs) == 1


@pytest.mark.parametrize(
    ("flags", "warned"), [([], True), (["--response-db", "x.db"], False)], ids=["in memory", "in a file"]
)
async def test_workers_that_share_no_state_say_so_at_the_start(
    start: Start, flags: list[str], warned: bool, tmp_path: Path
) -> None:
    flags = [str(tmp_path / each) if each == "x.db" else each for each in flags]
    server = await start("--workers", "2", *flags)
    assert bool(re.search(r"--redis or --response-db", server.child.output)) == warned
