"""Two workers that share a real Redis: a retry that reaches the other one does not run the agent again.

The workers are applications of their own in this process, in front of one scripted agent.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.server.idempotency import claimed_runs, claims
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.proxy_harness import RedisServer
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, Reply, closing, failure, run, text

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES = "/v1/responses"
KEY = {"Idempotency-Key": "k-1"}

both_ways = pytest.mark.parametrize("stream", [True, False])


def turn(*, stream: bool = True, turn_id: str = "t-1", **fields: Any) -> bytes:
    """A request of Codex, which says what turn it is of."""
    body = {"model": "default", "input": "Hi", "stream": stream, "client_metadata": {"turn_id": turn_id}}
    return json.dumps({**body, **fields}).encode()


async def post(front: Proxy, body: bytes, **headers: str) -> Received:
    return await front.post(body, path=RESPONSES, headers=headers)


def read(received: Received, *, stream: bool = True) -> str:
    assert received.status == 200, received.body
    return (check_response_stream(received.body) if stream else check_response_body(received.body)).text


def code_of(received: Received) -> tuple[int, str]:
    return received.status, str(check_error_body(received.body)["code"])


@pytest.fixture
async def workers(proxy: StartProxy, redis_server: RedisServer) -> tuple[Proxy, Proxy]:
    return await proxy(redis=redis_server.url), await proxy(redis=redis_server.url)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimed_runs, "POLL_INTERVAL", 0.01)


# The answer


@both_ways
async def test_an_answer_that_is_complete_is_sent_by_the_other_worker(
    workers: tuple[Proxy, Proxy], agent: Agent, stream: bool
) -> None:
    agent.plays(run("Hello", " there"))
    a, b = workers
    first = await post(a, turn(stream=stream))
    again = [await post(b, turn(stream=stream)) for _ in range(2)]
    assert read(first, stream=stream) == "Hello there"
    assert [(each.status, each.body) for each in again] == [(200, first.body)] * 2
    assert again[0].headers["Content-Type"] == first.headers["Content-Type"]
    assert len(agent.runs) == 1


@pytest.mark.usefixtures("quick")
@both_ways
async def test_a_running_answer_is_waited_for(workers: tuple[Proxy, Proxy], agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    a, b = workers
    first = asyncio.create_task(post(a, turn(stream=stream)))
    await agent.until(lambda: agent.runs)
    others = [asyncio.create_task(post(b, turn(stream=stream))) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in others)
    gate.set()
    answers = [await each for each in (first, *others)]
    assert {read(each, stream=stream) for each in answers} == {"Hello there"}
    assert len({each.body for each in answers}) == 1
    assert len(agent.runs) == 1


@pytest.mark.usefixtures("quick")
async def test_a_run_that_another_worker_waits_for_is_not_stopped(
    proxy: StartProxy, redis_server: RedisServer, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL_INTERVAL", 0.02)
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = [await proxy(redis=redis_server.url, idempotency_grace=0.3) for _ in "ab"]
    line = await a.dial()
    await line.post(turn(), path=RESPONSES)
    await agent.until(lambda: agent.runs)
    line.reset()
    again = asyncio.create_task(post(b, turn()))
    await asyncio.sleep(0.6)
    assert agent.runs[0].outcome == "playing"
    gate.set()
    assert read(await again) == "Hello"
    assert len(agent.runs) == 1


@both_ways
async def test_an_idempotency_key_holds_for_all_workers(
    workers: tuple[Proxy, Proxy], agent: Agent, stream: bool
) -> None:
    agent.plays(run("Hello"))
    a, b = workers
    body = chat_body(stream=stream)
    answers = [await each.post(body, headers=KEY) for each in (a, b, b, a)]
    assert {(each.status, each.body) for each in answers} == {(200, answers[0].body)}
    assert len(agent.runs) == 1


async def test_a_key_of_another_request_is_refused(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(run("Hello"))
    a, b = workers
    first = await a.post(chat_body(), headers=KEY)
    assert code_of(await b.post(chat_body("Another"), headers=KEY)) == (409, "idempotency_key_reused")
    assert (await b.post(chat_body(), headers=KEY)).body == first.body
    assert len(agent.runs) == 1


async def test_callers_do_not_share_names(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(run("Hello"))
    for worker, key in zip(workers, ("ada", "bob"), strict=True):
        assert read(await post(worker, turn(), Authorization=f"Bearer {key}")) == "Hello"
    assert len(agent.runs) == 2


# The failure


@both_ways
async def test_a_failure_after_which_the_agent_may_have_acted_is_sent_again(
    workers: tuple[Proxy, Proxy], agent: Agent, stream: bool
) -> None:
    agent.replies("/send", Reply([*OPENING, failure("Overloaded")]))
    a, b = workers
    answers = [await post(each, turn(stream=stream)) for each in (a, b, b, a)]
    assert {(each.status, each.body) for each in answers} == {(answers[0].status, answers[0].body)}
    assert answers[0].status >= 500
    assert len({each.headers["x-should-retry"] for each in answers}) == 1
    assert len(agent.runs) == 1


async def test_a_failure_in_the_stream_is_sent_again(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(OPENING, text("Half"), failure("the model broke"))
    answers = [await post(each, turn()) for each in workers]
    assert answers[0].body == answers[1].body
    assert check_response_stream(answers[1].body).status == "failed"
    assert len(agent.runs) == 1


async def test_an_unsent_request_may_run_at_the_other_worker(
    proxy: StartProxy, redis_server: RedisServer, agent: Agent
) -> None:
    agent.plays(run("Hello"))
    a = await proxy(redis=redis_server.url, upstream="http://127.0.0.1:9", connect_retries=0)
    b = await proxy(redis=redis_server.url)
    assert (await post(a, turn())).status == 502
    assert read(await post(b, turn())) == "Hello"
    assert len(agent.runs) == 1


@pytest.mark.usefixtures("quick")
async def test_when_the_first_worker_gives_its_run_up_the_one_that_waits_runs(
    proxy: StartProxy, redis_server: RedisServer, agent: Agent
) -> None:
    """Nothing was run: the first worker waits for a session that is busy."""
    gate = asyncio.Event()
    agent.replies("/send", Reply([*OPENING, gate, text("Slow"), *closing()]), Reply(run("Hello")))
    a, b = [await proxy(redis=redis_server.url, session_wait=0.5) for _ in "ab"]
    name = {"X-Session-Id": "harbour"}
    busy = asyncio.create_task(post(a, turn(turn_id="t-0"), **name))
    await agent.until(lambda: agent.runs)
    first = asyncio.create_task(post(a, turn(), **name))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(post(b, turn(), **name))
    assert code_of(await first) == (409, "session_busy")
    gate.set()
    assert read(await busy) == "Slow"
    assert read(await second) == "Hello"
    agent.kept_sessions |= {each.session for each in agent.runs}


async def test_an_answer_too_long_for_redis_is_gone_elsewhere(
    workers: tuple[Proxy, Proxy], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.plays(run("x" * claims.MAX_OUTCOME_SIZE))
    a, b = workers
    assert len(read(await post(a, turn()))) == claims.MAX_OUTCOME_SIZE
    assert code_of(await post(b, turn())) == (409, "idempotent_answer_gone")
    assert len(agent.runs) == 1


@pytest.mark.usefixtures("quick")
async def test_a_worker_that_died_has_perhaps_run_it(
    workers: tuple[Proxy, Proxy], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It renews its claim no more."""
    monkeypatch.setattr(claims, "RENEWAL_INTERVAL", 60)
    monkeypatch.setattr(claimed_runs, "HOLDER_TIMEOUT", 0.2)
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    a, b = workers
    first = asyncio.create_task(post(a, turn()))
    await agent.until(lambda: agent.runs)
    assert code_of(await post(b, turn())) == (409, "idempotent_answer_gone")
    gate.set()
    assert read(await first) == "Hello"
    monkeypatch.setattr(claimed_runs, "HOLDER_TIMEOUT", PATIENCE)
    assert read(await post(b, turn())) == "Hello", "the other worker does not remember its own refusal"
    assert len(agent.runs) == 1


# Clients that leave, and Redis that is gone


@pytest.mark.usefixtures("quick")
async def test_one_that_leaves_while_it_waits_leaves_nothing(
    proxy: StartProxy, redis_server: RedisServer, agent: Agent
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    a, b = await proxy(redis=redis_server.url), await proxy(redis=redis_server.url, idempotency_grace=0.01)
    first = asyncio.create_task(post(a, turn()))
    await agent.until(lambda: agent.runs)
    line = await b.dial()
    await line.post(turn(), path=RESPONSES)
    await asyncio.sleep(0.05)
    line.reset()
    await asyncio.sleep(0.05)
    gate.set()
    assert read(await first) == "Hello"
    assert read(await post(b, turn())) == "Hello"
    assert len(agent.runs) == 1


async def test_without_redis_a_turn_runs_and_a_key_is_refused(
    proxy: StartProxy, own_redis: RedisServer, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.1)
    agent.plays(run("Hello"))
    front = await proxy(redis=own_redis.url)
    own_redis.stop()
    async with asyncio.timeout(PATIENCE):
        assert read(await post(front, turn())) == "Hello"
        assert read(await post(front, turn())) == "Hello"
        refused = await front.post(chat_body(), headers=KEY)
    assert code_of(refused) == (503, "sessions_unavailable")
    assert refused.headers["x-should-retry"] == "true"
    assert len(agent.runs) == 1


async def test_a_request_without_a_name_needs_no_redis(
    proxy: StartProxy, redis_server: RedisServer, agent: Agent
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(redis=redis_server.url)
    for _ in range(2):
        assert read(await post(front, json.dumps({"model": "default", "input": "Hi", "stream": True}).encode()))
    assert len(agent.runs) == 2
    assert not redis_server.keys("oaicompat:run:*")


# A response that is read by its id


def keyed(**fields: Any) -> bytes:
    return json.dumps({"model": "default", "input": "Hi", **fields}).encode()


async def status_of(front: Proxy, answer_id: str) -> str:
    received = await front.get(f"{RESPONSES}/{answer_id}")
    return str(json.loads(received.body)["status"])


async def until_status(front: Proxy, answer_id: str, status: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await status_of(front, answer_id) != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_run_in_background_has_one_id_at_all_workers(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = workers
    body = keyed(background=True)
    at_once = await asyncio.gather(*(post(each, body, **KEY) for each in (a, b, a, b)))
    assert [each.status for each in at_once] == [200] * 4
    (answer_id,) = {json.loads(each.body)["id"] for each in at_once}
    assert {json.loads(each.body)["status"] for each in at_once} <= {"queued", "in_progress"}
    gate.set()
    await until_status(b, answer_id, "completed")
    for each in (a, b):
        again = json.loads((await post(each, body, **KEY)).body)
        assert again["id"] == answer_id
    assert json.loads((await post(b, body, **KEY)).body)["status"] == "completed"
    assert code_of(await post(b, keyed(background=True, input="Other"), **KEY)) == (409, "idempotency_key_reused")
    assert len(agent.runs) == 1


@pytest.mark.parametrize("fields", [{"background": True}, {"store": True}], ids=["background", "stored"])
async def test_a_stream_that_is_kept_is_read_live_at_another_worker(
    workers: tuple[Proxy, Proxy], agent: Agent, fields: dict[str, Any]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    a, b = workers
    body = keyed(stream=True, **fields)
    first = asyncio.create_task(post(a, body, **KEY))
    await agent.until(lambda: agent.runs)
    line = await b.dial()
    await line.post(body, path=RESPONSES, headers=["Idempotency-Key: k-1"])
    await line.read_until(b'"delta":"Hello"')
    gate.set()
    await line.read_until(b"response.completed")
    await line.close()
    again = await post(b, body, **KEY)
    assert again.body == (await first).body
    assert read(again) == "Hello there"
    assert len(agent.runs) == 1


async def test_a_whole_answer_that_is_stored_is_waited_for(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = workers
    first = asyncio.create_task(post(a, keyed(store=True), **KEY))
    await agent.until(lambda: agent.runs)
    again = asyncio.create_task(post(b, keyed(store=True), **KEY))
    await asyncio.sleep(0.3)
    gate.set()
    assert (await again).body == (await first).body
    assert read(await first, stream=False) == "Hello"
    assert len(agent.runs) == 1


# With a file, over a restart


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("background", [True, False])
async def test_a_key_outlives_the_process(
    proxy: StartProxy, agent: Agent, tmp_path: Path, stream: bool, background: bool
) -> None:
    agent.plays(run("Hello"))
    file = str(tmp_path / "responses.db")
    a = await proxy(response_db=file)
    body = keyed(stream=stream, background=background)
    first = await post(a, body, **KEY)
    if background and not stream:
        await until_status(a, json.loads(first.body)["id"], "completed")
    await a.app.cleanup()
    later = await proxy(response_db=file)
    again = await post(later, body, **KEY)
    assert again.status == 200
    if background and not stream:
        assert json.loads(again.body)["id"] == json.loads(first.body)["id"]
        assert read(again, stream=False) == "Hello"
    else:
        assert again.body == first.body
    assert code_of(await post(later, keyed(input="Other"), **KEY)) == (409, "idempotency_key_reused")
    assert len(agent.runs) == 1


async def test_with_a_file_two_workers_run_a_key_once(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = [await proxy(response_db=str(tmp_path / "responses.db")) for _ in "ab"]
    asking = [asyncio.create_task(each.post(chat_body(stream=False), headers=KEY)) for each in (a, b, a, b)]
    await agent.until(lambda: agent.runs)
    gate.set()
    answers = [await each for each in asking]
    assert {(each.status, each.body) for each in answers} == {(200, answers[0].body)}
    assert len(agent.runs) == 1
