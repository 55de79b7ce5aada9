"""Workers that share a Redis: a response is followed and cancelled at any of them, wherever its run is.

The workers are applications of their own in this process.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from oaicompat_proxy.server.idempotency import foreign_readers, process_life, remote_answers
from tests.support.conformance import check_error_body
from tests.support.proxy import Line, Proxy, StartProxy
from tests.support.proxy_harness import RedisServer
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, closing, failure, text
from tests.wire.test_kept_answers import RESPONSES, begun, ended, failed, get, id_in, post, rest_of

pytest_plugins = ["tests.support.proxy_fixtures"]


@pytest.fixture
async def workers(proxy: StartProxy, redis_server: RedisServer) -> tuple[Proxy, Proxy]:
    return await proxy(redis=redis_server.url), await proxy(redis=redis_server.url)


def events_in(data: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]


async def dial(worker: Proxy, below: str) -> Line:
    """A client that follows a response."""
    line = await worker.dial()
    await line.send(f"GET {RESPONSES}/{below} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return line


@pytest.mark.parametrize("background", [True, False])
async def test_a_broken_stream_goes_on_at_another_worker_behind_any_event(
    workers: tuple[Proxy, Proxy], agent: Agent, background: bool
) -> None:
    gates = asyncio.Event(), asyncio.Event()
    agent.plays(OPENING, text("Hello"), gates[0], text(" there"), gates[1], text("!"), closing())
    a, b = workers
    line, head = await begun(a, agent, background=background)
    line.reset()
    answer_id = id_in(head)
    live = await dial(b, f"{answer_id}?stream=true&starting_after=4")
    gates[0].set()
    seen = await live.read_until(b'"delta":" there"')
    gates[1].set()
    whole = await rest_of(b, answer_id, None)
    answer = check_response_stream(whole)
    assert answer.text == "Hello there!"
    assert whole == await rest_of(a, answer_id, None)
    events = events_in(whole)
    for number in (*range(len(events)), len(events) + 3):
        assert await rest_of(b, answer_id, number) == b"".join(events[number + 1 :])
    assert b"Hello" not in seen
    assert (await live.read_until(b"response.completed")).count(b'"delta":"!"') == 1
    await live.close()
    assert len(agent.runs) == 1


@pytest.mark.parametrize("store", [True, None])
async def test_another_worker_reads_a_failed_stream_as_it_ended(
    workers: tuple[Proxy, Proxy], agent: Agent, store: bool | None
) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    a, b = workers
    shown = await failed(a, store=store)
    assert [await get(each, shown["id"]) for each in (a, b)] == [shown, shown]


async def test_a_reader_at_another_worker_keeps_a_run_alive(
    proxy: StartProxy, agent: Agent, redis_server: RedisServer
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a = await proxy(redis=redis_server.url, response_grace=0.5)
    b = await proxy(redis=redis_server.url)
    line, head = await begun(a, agent)
    following = asyncio.create_task(rest_of(b, id_in(head), None))
    await asyncio.sleep(0.2)
    line.reset()
    await asyncio.sleep(0.8)
    gate.set()
    assert check_response_stream(await following).text == "Hello"


async def test_when_the_reader_at_another_worker_has_left_the_run_stops(
    proxy: StartProxy, agent: Agent, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_readers, "READER_TTL", 0.2)
    agent.plays(OPENING, text("Hello"), "stall")
    a = await proxy(redis=redis_server.url, response_grace=0.1)
    b = await proxy(redis=redis_server.url)
    line, head = await begun(a, agent)
    live = await dial(b, f"{id_in(head)}?stream=true")
    await live.read_until(b'"delta":"Hello"')
    live.reset()
    line.reset()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    assert (await ended(b, id_in(head)))["status"] == "failed"


async def test_keep_alives_come_from_there(proxy: StartProxy, agent: Agent, redis_server: RedisServer) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a = await proxy(redis=redis_server.url)
    b = await proxy(redis=redis_server.url, keep_alive=0.1)
    line, head = await begun(a, agent, background=True)
    await line.close()
    live = await dial(b, f"{id_in(head)}?stream=true")
    await live.read_until(b'"delta":"Hello"')
    await live.read_until(b'"delta":""')
    gate.set()
    await live.read_until(b"response.completed")
    await live.close()


@pytest.mark.parametrize("background", [True, False])
async def test_a_run_is_cancelled_at_any_worker(workers: tuple[Proxy, Proxy], agent: Agent, background: bool) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    a, b = workers
    line, head = await begun(a, agent, background=background)
    answer_id = id_in(head)
    for worker in (b, b, a):
        assert (await get(worker, f"{answer_id}/cancel", method="POST"))["status"] == "cancelled"
    await line.read_until(b"event: response.failed")
    await line.close()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    assert (await get(b, answer_id))["status"] == "cancelled"
    events = await rest_of(b, answer_id, None)
    assert b'"delta":"Hello"' in events
    assert check_response_stream(events).status == "cancelled"


async def test_a_run_is_deleted_at_any_worker(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    a, b = workers
    answer_id = json.loads((await post(a, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    assert (await get(b, answer_id, method="DELETE"))["deleted"]
    await agent.until(lambda: agent.runs[0].outcome == "left")
    assert (await a.get(f"{RESPONSES}/{answer_id}")).status == 404


async def test_a_failure_is_the_same_everywhere(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    a, b = workers
    answer_id = json.loads((await post(a, background=True)).body)["id"]
    assert (await ended(b, answer_id))["status"] == "failed"
    assert await rest_of(a, answer_id, None) == await rest_of(b, answer_id, None)


async def test_an_answer_that_failed_before_it_began(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(gate, failure("no luck"), status=200)
    a, b = workers
    answer_id = json.loads((await post(a, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    following = [asyncio.create_task(each.get(f"{RESPONSES}/{answer_id}?stream=true")) for each in (a, b)]
    await asyncio.sleep(0.2)
    gate.set()
    here, there = [await each for each in following]
    assert (here.status, here.body) == (there.status, there.body)
    assert b"no luck" in there.body


async def test_a_whole_answer_has_no_events(workers: tuple[Proxy, Proxy], agent: Agent) -> None:
    agent.plays(OPENING, text("Hello"), closing())
    a, b = workers
    answer_id = json.loads((await post(a, store=True)).body)["id"]
    for each in workers:
        received = await each.get(f"{RESPONSES}/{answer_id}?stream=true&starting_after=3")
        assert (received.status, check_error_body(received.body)["param"]) == (400, "stream")
    assert (await get(b, answer_id))["status"] == "completed"


async def test_events_that_are_kept_nowhere(proxy: StartProxy, agent: Agent, redis_server: RedisServer) -> None:
    agent.plays(OPENING, text("Hello"), closing())
    a, b = [await proxy(redis=redis_server.url, max_idempotent_answer=100) for _ in range(2)]
    answer_id = id_in((await post(a, stream=True, store=True)).body)
    received = await b.get(f"{RESPONSES}/{answer_id}?stream=true")
    assert (received.status, check_error_body(received.body)["param"]) == (400, "stream")


async def test_redis_loses_its_data_under_a_reader(
    workers: tuple[Proxy, Proxy], agent: Agent, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost for it, and the record of the run comes back."""
    monkeypatch.setattr(process_life, "BEAT", 0.5)
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    a, b = workers
    line, head = await begun(a, agent, background=True)
    await line.close()
    answer_id = id_in(head)
    following = asyncio.create_task(rest_of(b, answer_id, None))
    await asyncio.sleep(0.3)
    redis_server.flush()
    async with asyncio.timeout(PATIENCE):
        while (await b.get(f"{RESPONSES}/{answer_id}")).status == 404:  # noqa: ASYNC110 -- as a client polls
            await asyncio.sleep(0.05)
    assert (await get(b, answer_id))["status"] == "in_progress"
    gate.set()
    assert check_response_stream(await following).text == "Hello there"
    assert check_response_body(json.dumps(await ended(b, answer_id)).encode()).text == "Hello there"
    assert len(agent.runs) == 1


async def test_a_reply_that_cannot_be_read_ends_the_stream(
    workers: tuple[Proxy, Proxy], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = workers
    line, head = await begun(a, agent)
    live = await dial(b, f"{id_in(head)}?stream=true")
    await live.read_until(b'"delta":"Hello"')

    def refuse(reply: bytes) -> None:
        raise TypeError(reply)

    monkeypatch.setattr(remote_answers, "decode_reply", refuse)
    gate.set()
    await live.read_until(b"response.failed")
    await live.close()
    await line.read_until(b"response.completed")
    await line.close()


async def test_redis_is_restarted_under_a_reader(
    proxy: StartProxy, agent: Agent, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader looks for the lost record long before it is stored again."""
    monkeypatch.setattr(process_life, "BEAT", 3.0)
    monkeypatch.setattr(foreign_readers, "READ_WAIT", 0.05)
    monkeypatch.setattr(remote_answers, "REPLY_TIMEOUT", 0.1)
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    a, b = [await proxy(redis=own_redis.url) for _ in "ab"]
    line, head = await begun(a, agent, background=True)
    await line.close()
    live = await dial(b, f"{id_in(head)}?stream=true")
    await live.read_until(b'"delta":"Hello"')
    own_redis.stop()
    own_redis.start()
    async with asyncio.timeout(PATIENCE):
        while (await b.get(f"{RESPONSES}/{id_in(head)}")).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    gate.set()
    await live.read_until(b"event: response.completed")
    await live.close()
    agent.kept_sessions.add(agent.runs[0].session)  # Redis has forgotten it
