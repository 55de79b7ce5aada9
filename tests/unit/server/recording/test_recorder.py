"""Runs recorded by a real proxy: a file has the bytes of both connections, and its replay gives the same answer."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.demo.scenarios import SCENARIOS
from oaicompat_proxy.pipeline.comparison import compare
from oaicompat_proxy.recordings.format import read
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.recording.recorder import Recorder
from tests.support.conformance import check_stream
from tests.support.demo import Demo
from tests.support.paths import GOLDEN
from tests.support.proxy import CHAT, StartProxy
from tests.support.recordings import first_recording, recordings
from tests.support.scripted_gateway import (
    OPENING,
    Agent,
    Exchange,
    Reply,
    answer,
    closing,
    failure,
    frame,
    run,
    text,
    tool_call,
)

ADD = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
RUN = [b"".join(run("Hello ", "Bob, 42"))]


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def text_of(directory: Path) -> str:
    return "".join(path.read_text() for path in files(directory))


async def test_both_wires_are_written_as_they_were(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", Reply(RUN))
    proxied = await proxy(record=str(tmp_path), record_raw=True, server_tools="reasoning")
    received = await proxied.chat(stream_options={"include_usage": True})
    recording = await first_recording(tmp_path)
    assert recording.bytes_of("native") == RUN[0]
    assert recording.bytes_of("client") == received.body
    assert recording.bytes_of("end") == b"answered"
    assert recording.request_id == received.headers["x-request-id"]
    assert (recording.options.form["include_usage"], recording.options.server_tools) == (True, "reasoning")
    assert compare(recording) == []


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_said_is_masked_by_default_and_replays_all_the_same(
    agent: Agent, proxy: StartProxy, tmp_path: Path, stream: bool
) -> None:
    agent.replies("/send", Reply(RUN))
    proxied = await proxy(record=str(tmp_path))
    received = await proxied.chat("Where is Bob?", stream=stream)
    assert b"Bob" in received.body
    recording = await first_recording(tmp_path)
    assert recording.masked
    assert "Bob" not in text_of(tmp_path)
    assert len(recording.bytes_of("client" if stream else "body")) == len(received.body)
    assert compare(recording) == []


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("scenario", sorted(SCENARIOS.keys() - {"silent", "long"}))
async def test_a_run_of_every_kind_replays_to_what_was_recorded(
    demo: Demo, proxy: StartProxy, tmp_path: Path, scenario: str, stream: bool
) -> None:
    proxied = await proxy(upstream=demo.url, record=str(tmp_path), server_tools="content")
    tools = [{"type": "function", "function": {"name": "client_weather", "parameters": {}}}]
    await proxied.chat(f"[[scenario:{scenario}]]", stream=stream, tools=tools)
    assert compare(await first_recording(tmp_path)) == []


async def test_an_answer_that_was_opened_before_the_agent_spoke_replays_too(
    agent: Agent, proxy: StartProxy, tmp_path: Path
) -> None:
    proxied = await proxy(record=str(tmp_path), first_event_wait=0)
    begun = asyncio.Event()
    agent.replies("/send", Reply([begun, *OPENING, *tool_call("c1", "add", '{"a":1}'), *closing()]))
    line = await proxied.dial()
    body = {"stream": True, "messages": [{"role": "user", "content": "?"}], "tools": ADD}
    await line.post(json.dumps(body).encode())
    await line.read_until(b'"role":"assistant","content":""')
    begun.set()
    await line.read_until(b"[DONE]")
    assert compare(await first_recording(tmp_path)) == []


async def test_completions_are_recorded_too(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", Reply(RUN))
    proxied = await proxy(record=str(tmp_path))
    body = json.dumps({"prompt": "Where is Bob?", "echo": True, "stream": True}).encode()
    received = await proxied.post(body, path="/v1/completions")
    recording = await first_recording(tmp_path)
    assert recording.options.api == "completion"
    assert "Bob" not in text_of(tmp_path)
    assert len(recording.bytes_of("client")) == len(received.body)
    assert compare(recording) == []


async def test_a_failure_before_the_stream_is_recorded_with_its_status(
    agent: Agent, proxy: StartProxy, tmp_path: Path
) -> None:
    agent.replies("/send", Reply([failure("rate limit reached")]))
    proxied = await proxy(record=str(tmp_path))
    received = await proxied.chat()
    recording = await first_recording(tmp_path)
    (entry,) = recording.of("body")
    assert (entry.status, entry.data) == (received.status, received.body)
    assert recording.bytes_of("end") == b"failed"
    assert compare(recording) == []


async def test_a_client_that_leaves_is_recorded_in_the_file(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", Reply([*run("Hi")[:4], "stall"]))
    agent.replies("/invoke", answer(None))
    proxied = await proxy(record=str(tmp_path))
    line = await proxied.dial()
    await line.post(b'{"stream":true,"messages":[{"role":"user","content":"?"}]}')
    await line.read_until(b'"Hi"')
    line.reset()
    recording = await first_recording(tmp_path)
    assert recording.bytes_of("end") == b"the client left"
    assert compare(recording) == []


async def test_a_request_that_is_refused_leaves_no_file(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    proxied = await proxy(record=str(tmp_path))
    assert (await proxied.post(b"{}")).status == 400
    assert recordings(tmp_path) == []


async def test_the_oldest_make_room(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", *[Reply(RUN)] * 6)
    agent.replies("/invoke", answer(None))
    mine = tmp_path / "notes.txt"
    mine.write_text("x" * 10_000)
    proxied = await proxy(record=str(tmp_path), record_max=5_000, record_total=12_000)
    names = []
    for _ in range(6):
        names.append((await proxied.chat()).headers["x-request-id"])
        await asyncio.sleep(0.005)  # the names of files have milliseconds
    async with asyncio.timeout(10):
        while not any(names[-1] in each.name and '"end"' in each.read_text() for each in files(tmp_path)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    kept = [path for path in files(tmp_path) if path != mine]
    assert sum(path.stat().st_size for path in kept) <= 12_000
    assert 1 < len(kept) < 6
    assert [read(path.read_bytes()).request_id for path in kept] == names[-len(kept) :]
    assert mine.exists()


def test_a_directory_that_cannot_be_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--record"):
        Recorder(Config(demo=True, record=str(tmp_path / "file")))


def wrappers(**settings: Any) -> set[str]:
    """The names of all that a request for a chat goes through."""
    routes = create_app(Config(demo=True, **settings)).router.routes()
    (handler,) = (route.handler for route in routes if route.get_info().get("path") == CHAT)
    names = set()
    while handler is not None:
        names.add(handler.__name__)
        handler = inspect.getclosurevars(handler).nonlocals.get("handler")
    return names


def test_a_proxy_that_does_not_record_has_nothing_of_it_in_the_way(tmp_path: Path) -> None:
    plain = wrappers()
    assert "run_agent" in plain
    assert wrappers(record=str(tmp_path)) - plain == {"record"}


async def test_a_stream_that_is_recorded_is_the_same_stream(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    slow = asyncio.Event()
    agent.replies("/send", Reply([*run("a")[:4], slow, text("b"), frame("usage"), *run()[3:]]))
    proxied = await proxy(record=str(tmp_path))
    asyncio.get_running_loop().call_later(0.05, slow.set)
    assert check_stream((await proxied.chat()).body, include_usage=False).text == "ab"


async def test_requests_with_the_same_key_are_one_recording(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", Reply(RUN))
    agent.replies("/invoke", answer(None))
    proxied = await proxy(record=str(tmp_path))
    body = b'{"stream":true,"messages":[{"role":"user","content":"?"}]}'
    first, second = [await proxied.post(body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.body == second.body
    recording = await first_recording(tmp_path)
    assert len(recordings(tmp_path)) == 1
    assert len(recording.bytes_of("client")) == len(first.body)
    assert compare(recording) == []


async def test_a_failure_in_mid_answer_is_recorded(agent: Agent, proxy: StartProxy, tmp_path: Path) -> None:
    agent.replies("/send", Reply([*run("Hi")[:4], failure("rate limit reached")]))
    agent.replies("/invoke", answer(None))
    proxied = await proxy(record=str(tmp_path))
    received = await proxied.chat()
    recording = await first_recording(tmp_path)
    assert b"rate_limit_exceeded" in received.body
    assert recording.bytes_of("client").endswith(received.body[-200:])
    assert compare(recording) == []


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_all_runs_of_a_confirmation_are_recorded(
    agent: Agent, proxy: StartProxy, tmp_path: Path, stream: bool, masked: bool
) -> None:
    """Each run has the id of its request."""
    streams = [(GOLDEN / f"ag_ui_{name}.native.sse").read_bytes() for name in ("interrupt", "two_messages")]
    played: list[bytes] = []

    def play(exchange: Exchange) -> Reply:
        stream = re.sub(
            rb'"runId":"[^"]*"', b'"runId":%b' % json.dumps(exchange.json["runId"]).encode(), streams.pop(0)
        )
        played.append(stream)
        return Reply([stream])

    agent.replies("/harbor", play)
    proxied = await proxy(
        dialect="ag-ui",
        upstream=f"{agent.url}/harbor",
        confirmations="approve",
        record=str(tmp_path),
        record_raw=not masked,
    )
    received = await proxied.chat(stream=stream)
    assert (received.status, len(played)) == (200, 2), received.body
    recording = await first_recording(tmp_path)
    assert [*map(len, recording.runs())] == [*map(len, played)]
    assert masked or [*recording.runs()] == played
    assert compare(recording) == []
