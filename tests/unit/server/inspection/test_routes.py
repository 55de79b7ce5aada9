"""The inspector's API on a socket: the list, one run, masking, the download, the replay, the stop."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from oaicompat_proxy.pipeline.comparison import compare
from oaicompat_proxy.recordings.format import read
from oaicompat_proxy.server.app import create_app
from tests.support.inspection import API, ask, post, rows, until_row
from tests.support.proxy import CHAT, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, failure, frame, run, text

SECRET = "Xyzzyx"


async def test_without_the_setting_there_is_nothing(proxy: StartProxy) -> None:
    front = await proxy()
    assert (await front.get("/inspect")).status == 404
    assert (await front.get(f"{API}/runs")).status == 404


async def test_a_run_is_listed_with_what_it_took(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    assert (row["state"], row["outcome"], row["model"], row["ticks"]) == ("over", "success", "default", 1)
    assert (row["input_tokens"], row["output_tokens"]) == (11, 7)
    assert row["first_token"] <= row["duration"]


async def test_both_sides_of_a_run(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hel", "lo"))
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    shown = await ask(front, f"/runs/{row['id']}")
    texts = [each["n"] for each in shown["frames"] if each["kinds"] == ["TextDeltas"]]
    assert {each["frame"] for each in shown["events"]} >= set(texts)
    assert shown["request"]["headers"]["Content-Type"]
    assert [each["path"] for each in shown["turns"]] == ["/send"]
    assert [each["lane"] for each in shown["spans"]] == ["tick", "text"]


@pytest.mark.parametrize("content", [False, True])
async def test_texts_are_shown_only_where_the_operator_wants_it(proxy: StartProxy, agent: Agent, content: bool) -> None:
    agent.plays(run(f"It is {SECRET}"))
    front = await proxy(inspect=True, inspect_content=content)
    await front.chat(f"Say {SECRET}", user=SECRET, model="default")
    (row,) = await rows(front)
    run_path = f"{API}/runs/{row['id']}"
    for path in (f"{API}/runs", run_path, f"{run_path}/replay", f"{run_path}/recording"):
        found = SECRET in (await front.get(path)).body.decode()
        assert found is (content and path != f"{API}/runs"), path
    assert (await ask(front))["content"] is content


async def test_an_error_is_shown_with_its_words(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("partial"), failure("the model is on fire"))
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    assert (row["outcome"], row["error"]) == ("agent_error", "agent_error")
    shown = await ask(front, f"/runs/{row['id']}")
    assert "the model is on fire" in shown["error"]["message"]
    assert shown["events"][-1]["name"] == "done"


async def test_a_request_that_is_refused_is_there_too(proxy: StartProxy) -> None:
    front = await proxy(inspect=True)
    await front.post(b'{"model": "default"}')
    (row,) = await rows(front)
    assert (row["outcome"], row["status"]) == ("refused", 400)
    shown = await ask(front, f"/runs/{row['id']}")
    assert "messages" in shown["error"]["message"]
    assert (shown["frames"], len(shown["events"])) == ([], 1)
    assert (await front.get(f"{API}/runs/{row['id']}/replay")).status == 400


async def test_an_answer_that_is_sent_whole(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat(stream=False)
    (row,) = await rows(front)
    shown = await ask(front, f"/runs/{row['id']}")
    assert [each["name"] for each in shown["events"]] == ["chat.completion"]


async def test_the_download_is_a_recording(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello", " you"))
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    received = await front.get(f"{API}/runs/{row['id']}/recording")
    assert received.headers["Content-Disposition"].startswith("attachment; ")
    recording = read(received.body)
    assert (recording.request_id, recording.bytes_of("end")) == (row["request_id"], b"answered")
    assert compare(recording) == []


async def test_the_replay_calls_no_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    replayed = await ask(front, f"/runs/{row['id']}/replay")
    assert (replayed["status"], replayed["difference"]) == (200, [])
    assert len(agent.runs) == 1


async def test_a_request_that_waits_is_listed_with_what_it_waits_for(proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True, max_runs=1)
    first = asyncio.create_task(front.chat())
    await until_row(front, state="running")
    second = asyncio.create_task(front.chat())
    assert (await until_row(front, state="waiting"))["waits_for"] == "run"
    (gateway,) = (await ask(front))["gateways"]
    assert (gateway["running"], gateway["max_runs"], gateway["waiting"]) == (1, 1, 1)
    go_on.set()
    await asyncio.gather(first, second)


async def test_a_request_that_waits_for_its_session(proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True)
    headers = {"X-Session-Id": "mine", "Content-Type": "application/json"}
    first = asyncio.create_task(front.post(chat_body(), headers=headers))
    running = await until_row(front, state="running")
    second = asyncio.create_task(front.post(chat_body(), headers=headers))
    assert (await until_row(front, state="waiting"))["waits_for"] == "session"
    go_on.set()
    await asyncio.gather(first, second)
    agent.kept_sessions.add(running["session"])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_is_stopped(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    agent.plays(OPENING, text("Hi"), "stall")
    front = await proxy(inspect=True)
    asking = asyncio.create_task(front.chat(stream=stream))
    row = await until_row(front, state="running")
    await agent.until(lambda: agent.runs and agent.runs[0].sent)
    with caplog.at_level(logging.WARNING):
        assert json.loads((await post(front, f"/api/runs/{row['id']}/stop")).body) == {"stopped": True}
    received = await asking
    assert b"agent_aborted" in received.body
    assert received.status == (200 if b"Hi" in received.body else 502)
    await agent.until(lambda: agent.runs[0].outcome == "left")
    await agent.until(lambda: agent.closed_sessions)
    assert f"inspect: stopped request_id={row['request_id']} by=127.0.0.1" in caplog.text
    assert (await until_row(front, state="over"))["error"] == "agent_aborted"
    assert json.loads((await post(front, f"/api/runs/{row['id']}/stop")).body) == {"stopped": False}


async def test_a_waiting_request_is_stopped(proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True, max_runs=1)
    first = asyncio.create_task(front.chat())
    await until_row(front, state="running")
    second = asyncio.create_task(front.chat())
    row = await until_row(front, state="waiting")
    await post(front, f"/api/runs/{row['id']}/stop")
    received = await second
    assert (received.status, b"agent_aborted" in received.body) == (502, True)
    go_on.set()
    await first
    assert len(agent.runs) == 1


async def test_a_run_that_is_not_here(proxy: StartProxy) -> None:
    front = await proxy(inspect=True)
    received = await front.get(f"{API}/runs/none")
    assert (received.status, json.loads(received.body)["error"]["code"]) == (404, "run_not_found")
    assert (await front.get(f"{API}/events?run=none")).status == 404


async def test_it_shows_runs_beside_a_recorder(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True, record=str(tmp_path))
    await front.chat()
    (row,) = await rows(front)
    assert (await ask(front, f"/runs/{row['id']}"))["frames_total"] > 0
    await front.hang_up()
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240 -- a directory in memory
    assert b'"native"' in file.read_bytes()


async def test_a_gateway_that_quotes_the_token_does_not_show_it(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("hunter2hunter2"), failure("bad token hunter2hunter2"))
    front = await proxy(inspect=True, inspect_content=True, upstream_token="hunter2hunter2")
    await front.chat()
    (row,) = await rows(front)
    for path in ("", "/replay", "/recording"):
        assert b"hunter2" not in (await front.get(f"{API}/runs/{row['id']}{path}")).body


async def test_it_survives_a_reload(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat()
    again = create_app(front.config, previous=front.app)
    routes = {route.resource.canonical for route in again.router.routes() if route.resource is not None}
    assert f"{API}/runs" in routes
    assert CHAT in routes


async def test_every_response_forbids_what_the_page_does_not_need(proxy: StartProxy) -> None:
    front = await proxy(inspect=True, cors="*")
    for path in ("/inspect", "/inspect/app.js", "/inspect/style.css", "/inspect/icon.svg", f"{API}/runs"):
        headers = (await front.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


async def test_frames_of_the_agents_own_tools_are_shown(proxy: StartProxy, agent: Agent) -> None:
    tool = [
        frame("tool_result_start", callId="c", name="add"),
        frame("tool_result", callId="c", name="add", result={"content": []}),
    ]
    agent.plays(run("Hello")[:-5], tool, run("")[3:])
    front = await proxy(inspect=True)
    await front.chat()
    (row,) = await rows(front)
    shown = await ask(front, f"/runs/{row['id']}")
    assert ("tool", "add") in [(each["lane"], each["name"]) for each in shown["spans"]]
