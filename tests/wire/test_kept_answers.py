"""Answers of the Responses API that are read by their id: in background, after a lost connection, by another caller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import Line, Proxy, Received, StartProxy
from tests.support.raw_client import leave
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, closing, failure, run, text

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES = "/v1/responses"
FINAL = ("completed", "failed", "cancelled", "incomplete")


async def post(front: Proxy, **fields: Any) -> Received:
    return await front.post(request(**fields), path=RESPONSES)


def request(**fields: Any) -> bytes:
    return json.dumps({"model": "default", "input": "Hi", **fields}).encode()


async def get(front: Proxy, below: str, *, method: str = "GET") -> Any:
    received = await front.request(method, f"{RESPONSES}/{below}")
    assert received.status == 200, received.body
    return json.loads(received.body)


async def ended(front: Proxy, answer_id: str) -> Any:
    """The response, polled until it is stored and final."""
    async with asyncio.timeout(PATIENCE):
        while True:
            received = await front.get(f"{RESPONSES}/{answer_id}")
            response = json.loads(received.body)
            if received.status == 200 and response["status"] in FINAL:
                return response
            await asyncio.sleep(0.01)


async def rest_of(front: Proxy, answer_id: str, number: int | None) -> bytes:
    """The events behind the one with this number."""
    behind = "" if number is None else f"&starting_after={number}"
    received = await front.get(f"{RESPONSES}/{answer_id}?stream=true{behind}")
    assert received.status == 200, received.body
    return received.body


async def begun(front: Proxy, agent: Agent, **fields: Any) -> tuple[Line, bytes]:
    """A client that has read the beginning of a stream, and the bytes that it has read."""
    line = await front.dial()
    await line.post(request(**{"stream": True, "store": True, **fields}), path=RESPONSES)
    head = await line.read_until(b'"delta":"Hello"')
    return line, head


def id_in(data: bytes) -> str:
    found = re.search(rb'"id":"(resp_[0-9a-f]+)"', data)
    assert found is not None
    return found[1].decode()


# The stored response


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_read_again(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello", " there"))
    front = await proxy()
    received = await post(front, stream=stream, instructions="Be brief.")
    answer = (check_response_stream if stream else check_response_body)(received.body)
    assert await get(front, answer.id) == answer.response
    assert len(agent.runs) == 1


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("store", [True, None])
async def test_a_failed_stream_is_read_as_it_ended(
    proxy: StartProxy, agent: Agent, tmp_path: Path, in_file: bool, store: bool | None
) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy(response_db=str(tmp_path / "answers.db") if in_file else "")
    shown = await failed(front, store=store)
    assert await get(front, shown["id"]) == shown


async def failed(front: Proxy, **fields: Any) -> Any:
    """The response of the last event of a stream that fails."""
    ending = (await post(front, stream=True, **fields)).body.split(b"\n\n")[-2]
    assert ending.startswith(b"event: response.failed\n")
    response = json.loads(ending.partition(b"data: ")[2])["response"]
    assert response["status"] == "failed"
    return response


async def test_a_failed_stream_that_is_not_stored_is_unknown(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy()
    answer_id = id_in((await post(front, stream=True, store=False)).body)
    assert (await front.get(f"{RESPONSES}/{answer_id}")).status == 404


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_stream_that_its_client_has_left_is_found_as_failed(
    proxy: StartProxy, agent: Agent, tmp_path: Path, how: str, in_file: bool
) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy(response_db=str(tmp_path / "answers.db") if in_file else "")
    line, head = await begun(front, agent, store=None)
    await leave(line, how)
    response = await ended(front, id_in(head))
    assert (response["status"], response["error"]["code"]) == ("failed", "invalid_prompt")
    assert "left" in response["error"]["message"]
    assert response["output"] == []


async def test_the_end_of_an_answer_is_found_if_the_file_takes_no_writes(
    proxy: StartProxy, agent: Agent, tmp_path: Path
) -> None:
    """As on a full disk."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(response_db=str(tmp_path / "answers.db"))
    answer_id = json.loads((await post(front, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    with contextlib.closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        gate.set()
        assert (await ended(front, answer_id))["status"] == "completed"


async def test_a_failed_answer_says_so(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hel"), failure("no luck"))
    front = await proxy()
    answer_id = id_in((await post(front, stream=True, store=True)).body)
    response = await ended(front, answer_id)
    assert (response["status"], response["error"]["code"]) == ("failed", "invalid_prompt")
    assert "no luck" in response["error"]["message"]
    assert response["output"] == []


async def test_the_input_is_listed_in_pages(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    messages = [("user", "One"), ("assistant", "Two"), ("user", "3")]
    items = [{"role": role, "content": words} for role, words in messages]
    answer_id = json.loads((await post(front, input=items)).body)["id"]
    newest = await get(front, f"{answer_id}/input_items?limit=2")
    assert [item["content"][0]["text"] for item in newest["data"]] == ["3", "Two"]
    assert newest["has_more"]
    rest = await get(front, f"{answer_id}/input_items?after={newest['last_id']}")
    assert [item["content"][0]["text"] for item in rest["data"]] == ["One"]
    oldest = await get(front, f"{answer_id}/input_items?order=asc&limit=1")
    assert oldest["data"] == rest["data"]
    reference = {"type": "item_reference", "id": rest["first_id"]}
    agent.plays(run("Again"))
    await post(front, input=[reference])
    assert agent.runs[-1].prompt == "One"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_x"])
async def test_bad_pages_are_refused(proxy: StartProxy, agent: Agent, query: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    answer_id = json.loads((await post(front)).body)["id"]
    received = await front.get(f"{RESPONSES}/{answer_id}/input_items?{query}")
    assert check_error_body(received.body)["param"] == query.partition("=")[0]


# Background


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_in_background_needs_no_reader(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy(response_grace=0)
    if stream:
        line, head = await begun(front, agent, background=True)
        line.reset()
        answer_id = id_in(head)
    else:
        queued = json.loads((await post(front, background=True)).body)
        assert (queued["status"], queued["background"], queued["output"]) == ("queued", True, [])
        answer_id = queued["id"]
        await agent.until(lambda: agent.runs)
    assert (await get(front, answer_id))["status"] == "in_progress"
    gate.set()
    response = await ended(front, answer_id)
    assert check_response_body(json.dumps(response).encode()).text == "Hello there"
    whole = check_response_stream(await rest_of(front, answer_id, None))
    assert whole.response == response
    assert len(agent.runs) == 1


async def test_a_run_that_waits_for_its_session_is_queued(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(max_runs=1)
    first = json.loads((await post(front, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    second = json.loads((await post(front, background=True)).body)["id"]
    assert (await get(front, second))["status"] == "queued"
    gate.set()
    assert [(await ended(front, each))["status"] for each in (first, second)] == ["completed", "completed"]


async def test_a_failure_in_background_is_stored(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, failure("no luck"))
    front = await proxy()
    response = await ended(front, json.loads((await post(front, background=True)).body)["id"])
    assert (response["status"], response["output"]) == ("failed", [])


async def test_a_bad_request_is_refused_at_once(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy()
    received = await post(front, background=True, input=[{"type": "owl"}])
    assert received.status == 400
    assert not agent.runs


async def test_a_retry_with_a_key_gets_the_same_run(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    twice = [
        await front.post(request(background=True), path=RESPONSES, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert twice[0].body == twice[1].body
    await ended(front, json.loads(twice[0].body)["id"])
    assert len(agent.runs) == 1


# A stream that broke


@pytest.mark.parametrize("background", [True, False])
async def test_a_broken_stream_goes_on_behind_any_event(proxy: StartProxy, agent: Agent, background: bool) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy()
    line, head = await begun(front, agent, background=background)
    line.reset()
    answer_id = id_in(head)
    live = asyncio.create_task(rest_of(front, answer_id, 4))
    gate.set()
    whole = await rest_of(front, answer_id, None)
    answer = check_response_stream(whole)
    assert answer.text == "Hello there"
    events = [event + b"\n\n" for event in whole.split(b"\n\n")[:-1]]
    for number in range(len(events)):
        assert await rest_of(front, answer_id, number) == b"".join(events[number + 1 :])
    assert await live == b"".join(events[5:])
    assert len(agent.runs) == 1


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_stream_that_goes_on_begins_with_the_next_event(proxy: StartProxy, agent: Agent, version: str) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, text(" there"), closing())
    front = await proxy()
    line, head = await begun(front, agent)
    last = int(head.rpartition(b'"sequence_number":')[2].partition(b",")[0])
    resumed = await front.dial()
    path = f"{RESPONSES}/{id_in(head)}?stream=true&starting_after={last}"
    await resumed.send(f"GET {path} HTTP/{version}\r\nHost: 127.0.0.1\r\n\r\n".encode())
    status, _ = await resumed.read_head()
    gate.set()
    seen = await resumed.read_until(b"\n\n")
    assert (status, f'"sequence_number":{last + 1},'.encode() in seen) == (200, True)
    assert seen.count(b"data: ") == 1
    await resumed.close()
    await line.close()


async def test_without_a_reader_a_run_of_the_foreground_is_stopped(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy(response_grace=0.05)
    line, head = await begun(front, agent)
    line.reset()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    response = await ended(front, id_in(head))
    assert response["status"] == "failed"
    assert "No client read" in response["error"]["message"]


@pytest.mark.parametrize("store", [False, None])
async def test_unless_it_is_stored_the_agent_stops_with_its_client(
    proxy: StartProxy, agent: Agent, store: bool | None
) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy(response_grace=60)
    line, head = await begun(front, agent, store=store)
    line.reset()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    if store is False:
        assert (await front.get(f"{RESPONSES}/{id_in(head)}")).status == 404
    else:
        assert (await ended(front, id_in(head)))["status"] == "failed"


async def test_events_that_are_not_kept_any_more(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(max_idempotent_answer=100)
    answer_id = id_in((await post(front, stream=True, store=True)).body)
    received = await front.get(f"{RESPONSES}/{answer_id}?stream=true")
    assert check_error_body(received.body)["param"] == "stream"
    assert (await get(front, answer_id))["status"] == "completed"


@pytest.mark.parametrize("number", ["-1", "x", "9" * 40, "1.5"])
async def test_no_number_of_an_event(proxy: StartProxy, agent: Agent, number: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    answer_id = json.loads((await post(front)).body)["id"]
    received = await front.get(f"{RESPONSES}/{answer_id}?stream=true&starting_after={number}")
    assert (received.status, check_error_body(received.body)["param"]) == (400, "starting_after")


@pytest.mark.parametrize("background", [True, False])
async def test_a_response_has_the_time_of_its_completion(proxy: StartProxy, agent: Agent, background: bool) -> None:
    """Its last event and `GET` say the same."""
    agent.plays(run("Hello"))
    front = await proxy()
    received = await post(front, stream=True, store=True, background=background)
    streamed = check_response_stream(received.body).response
    kept = await get(front, streamed["id"])
    assert streamed["created_at"] <= streamed["completed_at"] <= time.time()
    assert kept["completed_at"] == streamed["completed_at"]


# Cancelling


@pytest.mark.parametrize("background", [True, False])
async def test_a_cancelled_run_stops_in_the_gateway(proxy: StartProxy, agent: Agent, background: bool) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy()
    line, head = await begun(front, agent, background=background)
    answer_id = id_in(head)
    for _ in range(2):
        assert (await get(front, f"{answer_id}/cancel", method="POST"))["status"] == "cancelled"
    await line.read_until(b"event: response.failed\ndata: ")
    last = json.loads(await line.read_until(b"\n\n"))
    await line.close()
    assert last["response"]["status"] == "cancelled"
    await agent.until(lambda: agent.runs[0].outcome == "left")
    assert (await get(front, answer_id))["status"] == "cancelled"


async def test_a_deleted_run_stops_and_is_unknown(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy()
    answer_id = json.loads((await post(front, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    assert (await get(front, answer_id, method="DELETE"))["deleted"]
    await agent.until(lambda: agent.runs[0].outcome == "left")
    assert (await front.get(f"{RESPONSES}/{answer_id}")).status == 404


async def test_another_key_neither_reads_nor_stops_a_run(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(api_key=("alice", "bob"))
    alice, bob = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))
    received = await front.post(request(background=True), path=RESPONSES, headers=alice)
    answer_id = json.loads(received.body)["id"]
    await agent.until(lambda: agent.runs)
    for method, below in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        refused = await front.request(method, f"{RESPONSES}/{answer_id}{below}", headers=bob)
        assert refused.status == 404
    gate.set()
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = await front.request("GET", f"{RESPONSES}/{answer_id}", headers=alice)
            if json.loads(seen.body)["status"] == "completed":
                break
            await asyncio.sleep(0.01)


async def test_without_redis_another_worker_says_that_a_run_is_elsewhere(
    proxy: StartProxy, agent: Agent, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    file = str(tmp_path / "responses.db")
    a, b = await proxy(response_db=file), await proxy(response_db=file)
    answer_id = json.loads((await post(a, background=True)).body)["id"]
    await agent.until(lambda: agent.runs)
    assert (await get(b, answer_id))["status"] == "in_progress"
    for method, below in (("POST", "/cancel"), ("DELETE", ""), ("GET", "?stream=true")):
        refused = await b.request(method, f"{RESPONSES}/{answer_id}{below}")
        assert (refused.status, check_error_body(refused.body)["code"]) == (503, "run_elsewhere")
        assert refused.headers["x-should-retry"] == "true"
    gate.set()
    assert (await ended(b, answer_id))["status"] == "completed"
    whole = await replayed(b, answer_id)
    assert check_response_stream(whole).text == "Hello"
    assert whole == await replayed(a, answer_id)
    assert whole.endswith(rest := await replayed(b, answer_id, "&starting_after=3"))
    assert json.loads(rest.split(b"data: ")[1].split(b"\n")[0])["sequence_number"] == 4
    assert (await get(b, answer_id, method="DELETE"))["deleted"]
    assert (await a.get(f"{RESPONSES}/{answer_id}")).status == 404


async def replayed(front: Proxy, answer_id: str, more: str = "") -> bytes:
    """The events of an answer that is complete; its process may still be storing them."""
    async with asyncio.timeout(PATIENCE):
        url = f"{RESPONSES}/{answer_id}?stream=true{more}"
        while (received := await front.get(url)).status == 503:  # noqa: ASYNC110 -- as a client asks again
            await asyncio.sleep(0.01)
    assert received.status == 200, received.body
    return received.body


@pytest.mark.parametrize("fails", [False, True], ids=["completed", "failed"])
async def test_the_events_in_a_file_outlive_the_process(
    proxy: StartProxy, agent: Agent, tmp_path: Path, fails: bool
) -> None:
    agent.plays(OPENING, text("Hello"), "reset") if fails else agent.plays(run("Hello"))
    file = str(tmp_path / "responses.db")
    first = await proxy(response_db=file)
    streamed = await post(first, store=True, stream=True)
    answer_id = json.loads(streamed.body.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
    later = await proxy(response_db=file)
    assert await replayed(later, answer_id) == streamed.body


async def test_a_stored_answer_that_was_no_stream_has_no_events(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    answer_id = json.loads((await post(front, store=True)).body)["id"]
    received = await front.get(f"{RESPONSES}/{answer_id}?stream=true&starting_after=3")
    assert (received.status, check_error_body(received.body)["param"]) == (400, "stream")


# Restarts


async def test_a_file_outlives_the_process(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = str(tmp_path / "responses.db")
    front = await proxy(response_db=file)
    answer_id = json.loads((await post(front)).body)["id"]
    later = await proxy(response_db=file)
    assert (await get(later, answer_id))["status"] == "completed"
    await post(later, previous_response_id=answer_id)
    assert len(agent.runs) == 2
    assert (tmp_path / "responses.db").stat().st_mode & 0o077 == 0
