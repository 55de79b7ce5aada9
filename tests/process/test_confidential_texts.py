"""What never leaves the process: keys, tokens, prompts, and what the agent's frames hold beside the answer.

A real process at log level `debug`, in front of a gateway whose frames are full of marks, is asked in every way that
succeeds and in every way that fails. No mark may stand in what it logs, in a header, in a health page or in the body
of an error; in an answer only the answer itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.processes import Child, stopping
from tests.support.proxy import CHAT, Line
from tests.support.raw_client import leave
from tests.support.scripted_gateway import (
    LAST_WORD,
    OPENING,
    PATIENCE,
    Agent,
    Choice,
    Exchange,
    Reply,
    answer,
    closing,
    enveloped,
    failure,
    flat,
    frame,
    no_apps,
    text,
    tool_call,
)

PROMPT = "mark-of-the-prompt"
HISTORY = "mark-of-the-history"
KEY = "sk-mark-of-the-client"
TOKEN = "mark/of~the=gateway"
"""Looks like no secret that is known by its looks."""
SESSION = "mark-of-the-session"
SESSION_SECRET = "mark-of-the-secret"
QUERY = "mark-of-the-query"
COOKIE = "mark-of-the-cookie"
ADDRESS = "http://ann:mark-of-the-address@pictures.example/tide.png"
PARAMETER = "mark-of-the-parameter"
DEBUG = "mark-of-the-frames"
ARGUMENT = "mark-of-the-argument"
CHILD = "mark-of-the-child"
ANSWER = "mark-of-the-answer"
CALL = "mark-of-the-call"

OURS = ("mark-of-the-", TOKEN)
"""What no log may hold: not even the answer."""


def debugging(name: str) -> bytes:
    """A frame that sends prompts back."""
    prompts = [{"role": "user", "content": [{"type": "text", "text": f"{PROMPT} {HISTORY} {DEBUG}"}]}]
    return frame(name, messages=prompts, system=DEBUG * 50, headers={"authorization": f"Bearer {TOKEN}"})


DEBUGGING = [
    debugging(name) for name in ("compiled", "model_request", "provider_request", "context_update", "unheard_of")
]
OWN_TOOL = [
    *tool_call("c0", "look", json.dumps({"at": ARGUMENT})),
    frame("tool_result", callId="c0", name="look", content=[{"type": "text", "text": DEBUG}]),
    frame("tick_end", tick=1, shouldContinue=True),
    frame("tick_start", tick=2),
]
CHILDREN = [
    frame("spawn_start", spawnId="s1", label=CHILD, input=DEBUG),
    frame("content_delta", blockType="text", delta=CHILD, spawnPath=["s1"]),
    frame("spawn_end", spawnId="s1", output=CHILD),
]
TALK = [*OPENING, *DEBUGGING, *OWN_TOOL, *CHILDREN, text(ANSWER), *DEBUGGING]
DEBUG_END = frame("execution_end", executionId="e1", aborted=False, output={"timeline": [DEBUG, PROMPT]})
THROWN = f"ProviderError: no entry for {TOKEN} at ann:pw {ADDRESS}\n    at look ({DEBUG})"


def fails(words: str) -> list[bytes]:
    return [enveloped("execution_end", {"type": "execution_end", "error": {"message": words}}), failure(words)]


RUNS: dict[str, Reply] = {
    "well": Reply([*TALK, *closing()[:-2], DEBUG_END, LAST_WORD]),
    "the client's tool": Reply(flat([[*OPENING, *DEBUGGING], tool_call("c1", "tide", json.dumps({"port": CALL}))])),
    "fails at once": Reply([*OPENING, *DEBUGGING, *fails(THROWN)]),
    "fails in the middle": Reply([*TALK, *fails(THROWN)]),
    "fails for want of a key": Reply([*OPENING, *fails(f"401 api key {TOKEN}")]),
    "its model fails": Reply([*OPENING, frame("model_error", error={"message": THROWN}), *closing()]),
    "waits for a human": Reply(
        [
            *OPENING,
            frame("tool_confirmation_required", callId="c0", name="look", arguments={"at": ARGUMENT}, message=DEBUG),
            "stall",
        ]
    ),
    "is cut": Reply([*TALK, "cut"]),
    "is reset": Reply([*TALK, "reset"]),
    "ends early": Reply(TALK),
    "falls silent": Reply([*TALK, "stall"]),
    "is no JSON": Reply([*TALK, b'data: {"event":"tick_end",' + DEBUG.encode() + b"\n\n"]),
    "is no JSON at once": Reply([b"data: " + DEBUG.encode() + b"\n\n"]),
    "is nested too deeply": Reply([b'data: {"event":"message_end","data":' + b"[" * 5000 + DEBUG.encode() + b"\n\n"]),
    "sends too long a frame": Reply([*TALK, frame("tick_end", note=DEBUG * 500)]),
    "sends too long a line": Reply([*TALK, DEBUG.encode() * 500]),
    "is no HTTP": Reply([f"HTTP/1.1 {TOKEN} {DEBUG}\r\n\r\n".encode()], framing="raw"),
    "is garbled HTTP": Reply([Reply([]).head() + DEBUG.encode() + b"\r\n"], framing="raw"),
    "closes without a word": Reply(["cut"], framing="raw"),
    "refuses the token": answer({"error": f"bad token {TOKEN}"}, 401),
    "has a fault": answer({"error": DEBUG, "prompt": PROMPT}, 500),
    "is somebody else": Reply([f"<p>{DEBUG} {TOKEN}</p>".encode()], 200, "text/html", "length"),
    "knows no such app": Reply([failure(f'Unknown app "nobody". Available: {DEBUG}')]),
}
SAY_THE_ANSWER = {name for name, reply in RUNS.items() if any(text(ANSWER) == step for step in reply.steps)}

TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "title": PARAMETER}}}]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": HISTORY},
    {"role": "assistant", "content": HISTORY},
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}, {"type": "text", "text": PROMPT}],
    },
]
ASKED: dict[str, Any] = {"model": "owl", "messages": MESSAGES, "tools": TOOLS, "user": PARAMETER}

REFUSED: dict[str, Any] = {
    "no JSON": f'{{"messages": "{PROMPT}'.encode(),
    "no UTF-8": f'{{"messages": "{PROMPT}\xff"}}'.encode("latin-1"),
    "no list": {"model": "owl", "messages": PROMPT},
    "a message of another kind": {"model": "owl", "messages": [PROMPT]},
    "a content of another kind": {"model": "owl", "messages": [{"role": "user", "content": {"text": PROMPT}}]},
    "an unknown part": {"model": "owl", "messages": [{"role": "user", "content": [{"type": "text", "txt": PROMPT}]}]},
    "a picture that is none": {
        "model": "owl",
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:{PROMPT}"}}]}],
    },
    "an unknown role": {**ASKED, "messages": [*MESSAGES, {"role": "nobody", "content": PROMPT}]},
    "a parameter of another kind": {**ASKED, "temperature": {"hot": PROMPT}},
    "more than one choice": {**ASKED, "n": 2},
    "results without a call": {
        **ASKED,
        "messages": [*MESSAGES, {"role": "tool", "tool_call_id": "c", "content": PROMPT}],
    },
    "too long": {**ASKED, "prompt_too": PROMPT * 20_000},
}

HEADERS = [
    f"Authorization: Bearer {KEY}",
    f"Cookie: session={COOKIE}",
    f"OpenAI-Organization: {PARAMETER}",
]

RAW: dict[str, bytes] = {
    "no HTTP": f"{PROMPT} {KEY}\r\n\r\n".encode(),
    "a header that is none": f"GET / HTTP/1.1\r\nAuthorization Bearer {KEY}\r\n\r\n".encode(),
    "a header that is too long": (
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY * 2000}\r\n\r\n"
    ).encode(),
    "a length that is none": (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {KEY}\r\n\r\n{PROMPT}"
    ).encode(),
    "chunks that are none": (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{PROMPT}\r\n".encode()
    ),
    "another encoding": (
        (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: br\r\nContent-Length: 18\r\n\r\n{PROMPT}"
        ).encode()
    ),
    "not gzip": (
        (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 18\r\n\r\n{PROMPT}"
        ).encode()
    ),
    "another method": (
        f"DELETE {CHAT}?key={QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    ).encode(),
    "another address": (
        f"GET /v2/chat?key={QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    ).encode(),
    "an expectation": f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nExpect: {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
}


@dataclass
class Process:
    """The proxy, and every byte that came out of it but answers."""

    child: Child
    port: int
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    """A request, and its whole response with the head."""

    async def raw(self, what: str, data: bytes) -> bytes:
        line = Line(*await asyncio.open_connection("127.0.0.1", self.port))
        with contextlib.suppress(ConnectionError):
            await line.send(data)
        received = b""
        with contextlib.suppress(ConnectionError):
            received = await (line.read(2**16) if data in RAW.values() else line.read_to_end())
        await line.close()
        self.bodies.append((what, received))
        return received

    async def post(self, what: str, body: bytes, *, path: str = CHAT, name: str = "") -> bytes:
        headers = [*HEADERS, *([f"X-Session-Id: {name}"] if name else [])]
        return await self.raw(what, posted(body, path, headers))

    async def get(self, path: str) -> bytes:
        lines = [f"GET {path}?key={QUERY} HTTP/1.1", "Host: localhost", *HEADERS, "Connection: close", "", ""]
        return await self.raw(path, "\r\n".join(lines).encode())


def posted(body: bytes, path: str, headers: list[str]) -> bytes:
    lines = [f"POST {path}?key={QUERY} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def process(upstream: str, *flags: str) -> AsyncIterator[Process]:
    """The real proxy; its output is read whole when it has ended."""
    command = [sys.executable, "-m", "oaicompat_proxy", "--port", "0", "--log-level", "debug", "--upstream", upstream]
    command += ["--upstream-token", TOKEN, "--session-secret", SESSION_SECRET, "--silence-timeout", "0.3"]
    command += ["--max-frame", "8192", "--max-body", "200000", "--session-wait", "0.1", "--models-ttl", "0"]
    child = Child(*command, *flags)
    stop = contextlib.ExitStack()
    stop.enter_context(stopping(child))
    try:
        port = (await asyncio.to_thread(child.wait_for, r"listens on +http://127\.0\.0\.1:(\d+)"))[1]
        yield Process(child, int(port))
    finally:
        await asyncio.to_thread(stop.close)


def marks(data: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """The marks in the data, with the bytes around them."""
    for mark in allowed:
        data = data.replace(mark, "")
    return [data[max(0, at - 200) : at + 60] for mark in OURS for at in places(data, mark)]


def places(data: str, mark: str) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


@pytest.fixture
async def gateway(agent: Agent) -> AsyncIterator[Agent]:
    """Sessions may be left: a run that came to nothing may have none."""
    yield agent
    agent.kept_sessions |= {each.session for each in agent.runs}


def playing(agent: Agent, run: Choice) -> None:
    """Its question for the apps is answered as 0.9.4 does."""

    def choose(exchange: Exchange) -> Reply:
        if not exchange.is_run:
            return Reply([failure('Unknown app "no-such-app". Available: owl')])
        return run if isinstance(run, Reply) else run(exchange)

    agent.replies("/send", choose)


@pytest.mark.parametrize("server_tools", ["hide", "content"])
async def test_nothing_leaves_but_the_answer(gateway: Agent, server_tools: str) -> None:
    playing(gateway, RUNS["well"])
    flags = ["--confirmations", "ask"] if server_tools == "content" else []
    async with process(gateway.url, "--server-tools", server_tools, *flags) as proxy:
        await ask_everything(proxy, gateway, server_tools)
        await refuse_everything(proxy)
        await look_after(proxy, gateway)
        await leave_in_the_middle(proxy, gateway)
    output = proxy.child.output
    for line in ("outcome=success", "outcome=agent_error", " POST /v1/chat/completions 400 "):
        assert line in output, "it should have said more than this"
    assert marks(output) == []
    for what, body in proxy.bodies:
        assert body, f"{what}: no answer at all"
        assert marks(body.decode()) == [], what


async def ask_everything(proxy: Process, agent: Agent, server_tools: str) -> None:
    for name, run in RUNS.items():
        playing(agent, run)
        for stream in (True, False):
            body = json.dumps({**ASKED, "stream": stream}).encode()
            for session in ("", SESSION):
                await proxy.post(name, body, name=session)
            await proxy.post(name, json.dumps({"prompt": PROMPT, "stream": stream}).encode(), path="/v1/completions")
    allowed = (ANSWER, CALL) if server_tools == "hide" else (ANSWER, CALL, ARGUMENT, CHILD, DEBUG)
    for number, (name, received) in enumerate(proxy.bodies):
        proxy.bodies[number] = (name, without_answers(received, allowed))


def without_answers(received: bytes, allowed: tuple[str, ...]) -> bytes:
    """The answer may hold the answer; an error may not, nor may a header."""
    head, end, body = received.partition(b"\r\n\r\n")
    events = [event for event in body.split(b"\n\n") if b'"error"' not in event]
    for event in events:
        stripped = event
        for mark in allowed:
            stripped = stripped.replace(mark.encode(), b"")
        body = body.replace(event, stripped)
    return head + end + body


async def refuse_everything(proxy: Process) -> None:
    for name, request in REFUSED.items():
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        refused = await proxy.post(name, body)
        assert refused.startswith(b"HTTP/1.1 4"), name
    for name, data in RAW.items():
        await proxy.raw(name, data)


async def look_after(proxy: Process, agent: Agent) -> None:
    """The pages for people and machines, when all is well and when it is not."""
    for reply in (no_apps(), answer({"error": f"bad token {TOKEN}"}, 401), answer({"error": DEBUG}, 500)):
        agent.replies("/invoke", reply)
        for path in ("/healthz", "/readyz", "/v1/models", "/v1/models/owl", "/metrics"):
            await proxy.get(path)
    agent.replies("/invoke", no_apps())


async def leave_in_the_middle(proxy: Process, agent: Agent) -> None:
    """Also of a session whose run goes on, and for which the next request does not wait long enough: one of a client
    that sends only its newest message, since any other conversation has a session of its own.
    """
    playing(agent, Reply([*TALK, 1.0, *closing()]))
    newest = [{"role": "user", "content": PROMPT}]
    for name in ("", f"{SESSION}-of-its-own"):
        line = Line(*await asyncio.open_connection("127.0.0.1", proxy.port))
        body = json.dumps({**ASKED, "messages": newest if name else MESSAGES, "stream": True}).encode()
        await line.send(posted(body, CHAT, [*HEADERS, f"X-Session-Id: {name}"] if name else HEADERS))
        await line.read_until(ANSWER.encode())
        await leave(line, "reset")
        await proxy.post("busy", body, name=name) if name else None
    async with asyncio.timeout(PATIENCE):
        await agent.until(lambda: all(each.outcome != "playing" for each in agent.exchanges if each.is_run))


async def test_nothing_leaves_when_there_is_no_gateway(agent: Agent, unused_tcp_port: int) -> None:
    async with process(f"http://127.0.0.1:{unused_tcp_port}") as proxy:
        for stream in (True, False):
            await proxy.post("nobody", json.dumps({**ASKED, "stream": stream}).encode(), name=SESSION)
        for path in ("/healthz", "/readyz", "/v1/models"):
            await proxy.get(path)
    assert marks(proxy.child.output) == []
    for what, body in proxy.bodies:
        assert marks(body.decode()) == [], what


@pytest.mark.parametrize("flag", ["--upstream", "--redis"])
async def test_the_error_about_an_address_does_not_quote_its_password(flag: str) -> None:
    upstream = ["--demo"] if flag == "--redis" else []
    child = Child(sys.executable, "-m", "oaicompat_proxy", *upstream, flag, f"http//ann:{TOKEN}@nowhere:port")
    await asyncio.to_thread(child.wait_for, "Error: .*")
    await asyncio.to_thread(child.stop)
    assert flag in child.output
    assert TOKEN not in child.output
