from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import UpstreamTimeout
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.agentick import requests as calls
from oaicompat_proxy.server.upstream import gateway_client
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.proxy import Received, StartProxy, chat_body
from tests.support.scripted_gateway import (
    LAST_WORD,
    OPENING,
    PATIENCE,
    Agent,
    Reply,
    Step,
    answer,
    closing,
    enveloped,
    no_apps,
    run,
    text,
)

MEGABYTE = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def code_of(received: Received) -> str:
    code = check_error_body(received.body)["code"]
    assert isinstance(code, str)
    return code


# No connection


@pytest.mark.parametrize("stream", [True, False])
async def test_a_gateway_that_is_not_there_may_be_tried_again(proxy: StartProxy, stream: bool) -> None:
    received = await (await proxy(upstream=f"http://127.0.0.1:{unused_port()}")).chat(stream=stream)
    assert (received.status, code_of(received)) == (502, "upstream_unreachable")
    assert received.headers["x-should-retry"] == "true"


async def test_a_gateway_whose_name_is_unknown_may_be_tried_again(proxy: StartProxy) -> None:
    received = await (await proxy(upstream="http://gateway.invalid:1")).chat()
    assert (received.status, code_of(received)) == (502, "upstream_unreachable")
    assert received.headers["x-should-retry"] == "true"


async def test_a_gateway_that_does_not_accept_in_time_may_be_tried_again(proxy: StartProxy) -> None:
    """A listener whose backlog is full: the system lets further connections wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        port = full.getsockname()[1]
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        received = await (await proxy(upstream=f"http://127.0.0.1:{port}", connect_timeout=0.2)).chat()
    assert (received.status, code_of(received)) == (504, "upstream_connect_timeout")
    assert received.headers["x-should-retry"] == "true"


async def test_the_proxy_recovers_when_the_gateway_comes_back(proxy: StartProxy, agent: Agent) -> None:
    agent.plays("cut", framing="raw")
    front = await proxy()
    assert (await front.chat()).status == 502
    agent.plays(run("Back"))
    assert check_stream((await front.chat()).body, include_usage=False).text == "Back"


# No event stream


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer({"error": "Authentication failed"}, 401), "upstream_refused"),
        (answer({"error": "Forbidden"}, 403), "upstream_refused"),
        (answer({"error": "Not found"}, 404), "upstream_refused"),
        (answer({"error": "Method not allowed"}, 405), "upstream_refused"),
        (answer({"error": "Invalid request body"}, 400), "upstream_error"),
        (answer({"error": "Internal server error"}, 500), "upstream_error"),
        (answer({"error": "Send not supported without onDirectSend handler"}, 501), "upstream_error"),
        (answer({"error": "Bad gateway"}, 502), "upstream_error"),
        (Reply([], 302, headers=(("Location", "/elsewhere"),), framing="length"), "upstream_error"),
        (Reply([], 204, framing="raw"), "upstream_interrupted"),
        (Reply([b"<html>Welcome to nginx!</html>"], 200, "text/html", "length"), "upstream_error"),
        (answer({"apps": []}), "upstream_error"),
        (Reply([], 200, "text/event-stream", "length"), "upstream_interrupted"),
        (Reply([], 200, "text/event-stream", "chunked"), "upstream_interrupted"),
        (Reply([], 200, "text/event-stream", "close"), "upstream_interrupted"),
    ],
)
async def test_what_is_no_event_stream_is_a_gateways_fault(
    proxy: StartProxy, agent: Agent, stream: bool, reply: Reply, code: str
) -> None:
    agent.replies("/send", reply)
    received = await (await proxy()).chat(stream=stream)
    assert (received.status, code_of(received)) == (502, code)
    assert received.headers["x-should-retry"] == "false"


async def test_a_redirect_is_not_followed(proxy: StartProxy, agent: Agent) -> None:
    """It could lead the token, and the conversation, anywhere."""
    agent.replies("/send", Reply([], 307, headers=(("Location", f"{agent.url}/elsewhere"),), framing="length"))
    await (await proxy(upstream_token="secret")).chat()
    await agent.until(lambda: agent.closed_sessions)
    assert not [each for each in agent.exchanges if "elsewhere" in each.path]


async def test_a_refusal_of_our_token_does_not_blame_the_clients(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", answer({"error": "Authentication failed: token s3cr3t-token"}, 401))
    received = await (await proxy(upstream_token="s3cr3t-token")).chat()
    assert received.status == 502
    assert "--upstream-token" in check_error_body(received.body)["message"]
    assert b"s3cr3t" not in received.body


async def test_the_type_of_an_event_stream_may_have_parameters(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"), content_type="Text/Event-Stream; charset=utf-8")
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


# Broken streams


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "steps",
    [
        ["cut"],
        ["reset"],
        [b"SSH-2.0-OpenSSH_9.6\r\n", "cut"],
        [b"\x15\x03\x01\x00\x02\x02\x16", "cut"],
        [b"HTTP/1.1 two hundred OK\r\n\r\n", "cut"],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/ev", "cut"],
        [b"HTTP/1.1 200 OK\r\n no name\r\n\r\n", "cut"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "cut"],
        [b"HTTP/1.1 200 OK\r\n" + b"X-Filler: x\r\n" * 100_000, "stall"],
        [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * MEGABYTE, "stall"],
        [HEAD, "cut"],
        [HEAD, "reset"],
        [HEAD + b"not a size\r\n", "cut"],
        [HEAD + b"fffffffffffffffffffff\r\n", "cut"],
        [HEAD + b"5\r\nda", "cut"],
        [HEAD + b"5\r\ndata:X\r\n", "cut"],
        [HEAD.replace(b"chunked", b"chunked\r\nContent-Encoding: gzip") + b"5\r\nplain\r\n0\r\n\r\n", "cut"],
    ],
    ids=lambda steps: repr(steps[0][:40]) if isinstance(steps[0], bytes) else str(steps[0]),
)
async def test_what_is_no_http_is_a_gateways_fault(
    proxy: StartProxy, agent: Agent, stream: bool, steps: list[Step]
) -> None:
    agent.plays(*steps, framing="raw")
    received = await (await proxy()).chat(stream=stream)
    assert received.status == 502
    assert code_of(received) in ("upstream_error", "upstream_interrupted")
    assert received.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "ending",
    [[b"0", "cut"], ["cut"], ["reset"], [b"5\r\nda", "cut"], [b"garbage\r\n", "cut"], [b"0\r\n\r\n"]],
    ids=repr,
)
async def test_a_stream_that_breaks_after_its_first_word_is_no_answer(
    proxy: StartProxy, agent: Agent, stream: bool, ending: list[Step]
) -> None:
    beginning = b"".join(Reply([]).framed(each) for each in [*OPENING, text("Half")])
    gate = asyncio.Event()
    agent.plays(HEAD + beginning, gate, *ending, framing="raw")
    chat = asyncio.create_task((await proxy()).chat(stream=stream))
    await agent.until(lambda: agent.runs and agent.runs[0].sent)
    gate.set()
    async with asyncio.timeout(PATIENCE):
        received = await chat
    if stream and received.status == 200:
        error = check_stream(received.body, include_usage=False).error
        assert error is not None
    else:
        error = check_error_body(received.body)
        assert (received.status, received.headers["x-should-retry"]) == (502, "false")
    assert error["code"] in ("upstream_error", "upstream_interrupted")


async def test_a_whole_run_is_an_answer_even_if_its_framing_is_cut(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"), "cut")
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_a_body_may_be_framed_in_any_way(proxy: StartProxy, agent: Agent, framing: str) -> None:
    agent.plays(run("Hello"), framing=framing)
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


@pytest.mark.parametrize(
    "event", [b"data: {broken\n\n", b'data: {"type":"event","event":"content_delta","data":\n\n', b"data: \xff\xfe\n\n"]
)
async def test_an_event_that_is_no_json_is_a_gateways_fault(proxy: StartProxy, agent: Agent, event: bytes) -> None:
    agent.plays(OPENING, text("Half"), event, closing())
    answer = check_stream((await (await proxy()).chat()).body, include_usage=False)
    assert answer.error is not None
    assert answer.error["code"] == "upstream_error"


async def test_an_event_of_an_unknown_kind_is_no_fault(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(
        enveloped("telemetry", {"type": "telemetry", "x": [1, {"y": None}]}),
        [b": comment\n\n", b'data: {"type":"channel"}\n\n', b"data: 7\n\n", b"id: 3\nretry: 5\n\n"],
        run("Hello"),
    )
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


# What is sent


async def test_a_message_is_sent_in_both_forms_escaped_and_with_its_length(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    question = "Grüße, 世界 \U0001f600 \u2028"
    await (await proxy()).chat(question, temperature=0.5)
    sent = agent.runs[0]
    assert sent.body.isascii()
    assert int(sent.headers["content-length"]) == len(sent.body)
    assert "transfer-encoding" not in sent.headers
    assert sent.headers["content-type"] == "application/json"
    assert sent.json["messages"] == [sent.json["message"]]
    assert sent.json["message"]["role"] == "user"
    assert sent.json["message"]["content"] == [{"type": "text", "text": question}]
    assert sent.json["message"]["metadata"]["openai"]["temperature"] == 0.5


async def test_events_are_asked_for_uncompressed(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    await (await proxy()).chat()
    assert agent.runs[0].headers["accept-encoding"] == "identity"


async def test_compressed_events_are_understood_all_the_same(proxy: StartProxy, agent: Agent) -> None:
    body = gzip.compress(b"".join(run("Hello")))
    agent.plays([body[:20], body[20:]], headers=(("Content-Encoding", "gzip"),))
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


@pytest.mark.parametrize("token", ["", "s3cr3t"])
async def test_the_gateways_token_is_ours(proxy: StartProxy, agent: Agent, token: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(upstream_token=token)
    received = await front.post(
        b'{"model": "default", "messages": [{"role": "user", "content": "Hi"}]}',
        headers={"Authorization": "Bearer the client's", "Cookie": "a=b", "Content-Type": "application/json"},
    )
    await agent.until(lambda: agent.closed_sessions)
    assert received.status == 200
    for exchange in agent.exchanges:
        assert exchange.headers.get("authorization") == (f"Bearer {token}" if token else None)
        assert "the client's" not in str(exchange.headers)
        assert "cookie" not in exchange.headers


@pytest.mark.parametrize("base", ["", "/", "/agents", "/agents/", "/a%20b/c"])
async def test_the_gateway_may_live_below_a_path(proxy: StartProxy, agent: Agent, base: str) -> None:
    path = base.rstrip("/")
    agent.replies(f"{path}/send", Reply(run("Hello")))
    agent.replies(f"{path}/close", answer({"ok": True}))
    agent.replies(f"{path}/invoke", no_apps())
    received = await (await proxy(upstream=agent.url + base)).chat()
    assert check_stream(received.body, include_usage=False).text == "Hello"
    await agent.until(lambda: any(each.path == f"{path}/close" for each in agent.exchanges))
    assert all(each.path.startswith(f"{path}/") for each in agent.exchanges)


async def test_cookies_of_the_gateway_are_not_kept(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"), headers=(("Set-Cookie", "who=first"),))
    front = await proxy()
    for _ in range(2):
        await front.chat()
    assert not any("cookie" in each.headers for each in agent.exchanges)


# Connections


def has_closed(agent: Agent, count: int) -> bool:
    return len(agent.closed_sessions) == count


@pytest.mark.parametrize("stream", [True, False])
async def test_requests_one_after_another_use_one_connection(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for number in range(1, 6):
        await front.chat(stream=stream)
        await agent.until(partial(has_closed, agent, number))
    assert agent.connections <= 3, "one for the runs, one for what is asked beside them, one that listens"


async def test_a_connection_that_was_cut_is_not_used_again(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply([*OPENING, text("Half"), "cut"]), Reply(run("Hello")))
    front = await proxy()
    await front.chat()
    assert check_stream((await front.chat()).body, include_usage=False).text == "Hello"


async def test_more_runs_than_a_pool_usually_has_go_on_at_once(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy()
    chats = [asyncio.create_task(front.chat(stream=False)) for _ in range(80)]
    await agent.until(lambda: len(agent.runs) == len(chats))
    gate.set()
    assert {(await chat).status for chat in chats} == {200}


# Size


class Large:
    """A run that sends back a prompt of so many bytes in one line, as real gateways do, and then answers."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __iter__(self) -> Iterator[Step]:
        yield OPENING[0]
        yield b'data: {"type":"event","event":"compiled","sessionId":"s","data":{"type":"compiled","system":"'
        yield from [b"x" * 65_536] * (self._size // 65_536)
        yield b'"}}\n\n'
        yield from run("Hello")[1:]


async def test_a_prompt_sent_back_may_be_larger_than_any_frame(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(Large(40 * MEGABYTE)))
    assert check_stream((await (await proxy()).chat()).body, include_usage=False).text == "Hello"


@pytest.mark.slow
async def test_a_prompt_sent_back_does_not_move_the_processs_memory(agent: Agent) -> None:
    """Ten megabytes in one line, thrown away while they come. Measured where nothing else is: a real process."""
    command = [sys.executable, "-m", "oaicompat_proxy", "--upstream", agent.url, "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    introduction = b""
    async with asyncio.timeout(30):
        while b"\n  try " not in introduction:
            introduction += await process.stdout.readline()
    base = re.findall(r"listens on +(\S+)", introduction.decode())[0]
    async with aiohttp.ClientSession() as client:

        async def ask(size: int) -> None:
            agent.replies("/send", Reply(Large(size)))
            async with client.post(f"{base}/chat/completions", data=chat_body()) as response:
                assert check_stream(await response.read(), include_usage=False).text == "Hello"

        for _ in range(5):
            await ask(MEGABYTE)
        before = peak_memory(process.pid)
        for _ in range(3):
            await ask(10 * MEGABYTE)
        grown = peak_memory(process.pid) - before
    process.terminate()
    assert await process.wait() == 0
    assert grown < 3 * MEGABYTE


def peak_memory(pid: int) -> int:
    """The most bytes that the process has ever had in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


async def test_a_frame_that_must_be_kept_has_a_largest_size(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Half"), text("x" * 200_000), closing())
    answer = check_stream((await (await proxy(max_frame=100_000)).chat()).body, include_usage=False)
    assert answer.error is not None
    assert (answer.text, answer.error["code"]) == ("Half", "upstream_frame_too_long")
    await agent.until(lambda: agent.runs[0].outcome != "playing")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_large_event_is_understood_whatever_the_order_of_its_keys(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    """The name comes after ten megabytes whose beginning does not show the event."""
    data = {
        "blockType": "text",
        "blockIndex": 0,
        "delta": "Hello",
        "filler": "x" * 10 * MEGABYTE,
        "type": "content_delta",
    }
    envelope = {"data": data, "sessionId": "s", "event": "content_delta", "type": "event"}
    agent.plays(OPENING, b"data: " + json.dumps(envelope).encode() + b"\n\n", closing())
    received = await (await proxy()).chat(stream=stream)
    read = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
    assert (read.text, read.finish_reason) == ("Hello", "stop")


async def test_prompts_that_are_sent_back_do_not_reach_the_client(proxy: StartProxy, agent: Agent) -> None:
    secret = {"system": "You are SECRET.", "messages": []}
    leaks = [enveloped(name, {"type": name, **secret}) for name in ("compiled", "model_request", "provider_request")]
    agent.plays(OPENING[:2], leaks, OPENING[2:], text("Hello"), closing(), LAST_WORD)
    assert not re.search(b"SECRET", (await (await proxy()).chat()).body)


# For whom


@pytest.mark.parametrize(("own", "sent"), [(None, "Bearer t0ken"), ("Bearer ada", "Bearer ada"), ("", None)])
async def test_every_call_for_a_client_carries_what_it_is_to_carry(
    agent: Agent, own: str | None, sent: str | None
) -> None:
    upstream = Upstream(Config(upstream=agent.url, upstream_token="t0ken"), agent.url)
    agent.plays(run("Hello"))
    agent.replies("/events", Reply([b"data: {}\n\n"]))
    for_client = upstream.with_credentials_of(Caller("ada", "", authorization=own))
    await for_client.call(calls.build_apps())
    (await for_client.listen("/events")).abort()
    begun = for_client.run(calls.build_send("s", Turn((Text("Hi"),))))
    await begun.open()
    begun.abort()
    agent.kept_sessions.add("s")
    assert [each.headers.get("authorization") for each in agent.exchanges] == [sent] * 3
    upstream.close()


async def test_our_token_is_still_ours_afterwards(agent: Agent) -> None:
    upstream = Upstream(Config(upstream=agent.url, upstream_token="t0ken"), agent.url)
    upstream.with_credentials_of(Caller("ada", "", authorization="Bearer ada"))
    await upstream.call(calls.build_apps())
    assert agent.exchanges[0].headers["authorization"] == "Bearer t0ken"
    upstream.close()


async def test_a_call_that_is_answered_byte_by_byte_has_an_end(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_client, "CALL_TIMEOUT", 0.2)
    agent.replies("/invoke", Reply(itertools.cycle([b" ", 0.01]), content_type="application/json"))
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    with pytest.raises(UpstreamTimeout):
        await upstream.call(calls.build_apps())
    await agent.until(lambda: not agent.left_behind)
    upstream.close()
