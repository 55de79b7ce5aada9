"""A scripted gateway on a real socket: it sends a test's bytes step by step, and records the requests.

A script is a sequence of steps: bytes are sent, an event is waited for, a number is a pause in seconds, and three
words end it: "cut" closes the connection in the middle, "reset" resets it, "stall" says nothing more until the caller
leaves.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

Step = bytes | float | asyncio.Event | Literal["cut", "reset", "stall"]
Steps = Iterable[Step]

PATIENCE = 10.0
"""Seconds until a test fails because an expected event did not happen; a passing test never waits that long."""


# Frames of a gateway


def frame(name: str, /, **data: Any) -> bytes:
    """One native frame, one line, the keys in the gateway's order."""
    return enveloped(name, {"type": name, **data})


def enveloped(name: str, data: dict[str, Any]) -> bytes:
    envelope = {"type": "event", "event": name, "sessionId": "s", "data": data}
    return b"data: " + json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def text(delta: str) -> bytes:
    return frame("content_delta", blockType="text", blockIndex=0, delta=delta)


def failure(message: str) -> bytes:
    """The transport's error: the last frame of a run that failed."""
    return enveloped("error", {"error": message})


EMPTY_SEND = "/send {}"
"""The key of `replies` for requests that probe the form of a run's body."""

LAST_WORD = enveloped("execution_end", {})
"""The empty `execution_end` that some releases send after the run's own."""

OPENING = [
    frame("execution_start", executionId="e1"),
    frame("tick_start", tick=1),
    frame("message_start", role="assistant", model="m"),
]
"""The frames before the first text."""


def closing(*, stop: str = "stop", used: int = 11, made: int = 7) -> list[bytes]:
    """The frames after the last text."""
    usage = {"inputTokens": used, "outputTokens": made, "totalTokens": used + made}
    return [
        frame("message_end", stopReason=stop, usage=usage),
        frame("tick_end", tick=1, shouldContinue=False, stopReason=stop, usage=usage),
        frame("result", result={"response": "", "outputs": {}, "usage": {**usage, "ticks": 1}}),
        frame("execution_end", executionId="e1", aborted=False, usage=usage, output={"timeline": []}),
        LAST_WORD,
    ]


def run(*pieces: str, stop: str = "stop") -> list[bytes]:
    """A whole run of one tick with these pieces of text."""
    return [*OPENING, *map(text, pieces), *closing(stop=stop)]


def tool_call(call_id: str, name: str, arguments: str) -> list[bytes]:
    """A call as a streaming model makes it, up to the end of its message."""
    head = {"callId": call_id, "blockIndex": 0}
    return [
        frame("tool_call_start", **head, name=name),
        frame("tool_call_delta", **head, delta=arguments),
        frame("tool_call_end", **head),
        frame("tool_call", **head, name=name, input=json.loads(arguments)),
        frame("message_end", stopReason="tool_use", usage={"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}),
    ]


# Replies


@dataclass(frozen=True)
class Reply:
    """The response to one request: a head and, step by step, a body."""

    steps: Steps
    status: int = 200
    content_type: str = "text/event-stream"
    framing: Literal["chunked", "length", "close", "raw"] = "chunked"
    """One HTTP chunk per step, a Content-Length, or an end by closing; "raw": the steps are the whole response."""
    length: int | None = None
    """A false Content-Length; None for the true one."""
    headers: tuple[tuple[str, str], ...] = ()

    def head(self) -> bytes:
        if self.framing == "raw":
            return b""
        headers = [("Content-Type", self.content_type), *self.headers]
        if self.framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
        elif self.framing == "length":
            total = sum(len(step) for step in self.steps if isinstance(step, bytes))
            headers.append(("Content-Length", str(total if self.length is None else self.length)))
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode()

    def framed(self, data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data) if self.framing == "chunked" else data

    def end(self) -> bytes:
        return b"0\r\n\r\n" if self.framing == "chunked" else b""


def answer(body: Any, status: int = 200) -> Reply:
    """A JSON response."""
    return Reply([json.dumps(body).encode()], status, "application/json", "length")


Choice = Reply | Callable[["Exchange"], Reply]


@dataclass
class Exchange:
    """One request to the agent, and the state of its response."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """The index of its connection, from 0."""
    sent: int = 0
    """Bytes of the body that the socket has taken."""
    outcome: Literal["playing", "played", "cut", "left"] = "playing"
    """"left": the caller closed the connection before the end."""

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body, parse_int=lambda digits: int(digits[:300]))

    @property
    def session(self) -> str:
        return str(self.json["sessionId"])

    @property
    def is_run(self) -> bool:
        """Whether the request starts a run; lists of apps and capabilities are probed on the same path."""
        return self.path == "/send" and bool(self.json) and "no-such-app" not in self.session

    @property
    def route(self) -> str:
        """The path, or EMPTY_SEND for a request that probes the form of a run's body."""
        return EMPTY_SEND if self.path == "/send" and self.body == b"{}" else self.path

    @property
    def closes(self) -> str:
        """The session that this request closes, by `/close` or `/invoke`; empty if it closes none."""
        if self.path == "/close":
            return self.session
        is_close = self.path == "/invoke" and self.json["method"] == "close"
        return str(self.json["params"]["sessionId"]) if is_close else ""

    @property
    def prompt(self) -> str:
        """The text of the last message in the request."""
        if "message" in self.json:
            return str(self.json["message"]["content"][-1]["text"])
        content = self.json["messages"][-1]["content"]
        return content if isinstance(content, str) else str(content[-1]["text"])


@dataclass
class Agent:
    """Replies by path: each path has a list of replies, of which the last one repeats."""

    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    """Oldest first."""
    connections: int = 0
    """Number of connections made so far."""
    open_connections: int = 0
    send_buffer: int | None = None
    """Size of the socket's send buffer in bytes; None: the system's default."""
    closed_sessions: list[str] = field(default_factory=list)
    kept_sessions: set[str] = field(default_factory=set)
    """Sessions that a test leaves open on purpose."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _choices: dict[str, list[Choice]] = field(default_factory=dict)
    _playing: dict[int, str] = field(default_factory=dict)
    _open_sessions: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def plays(self, *steps: Step | list[bytes], **how: Any) -> None:
        """Every run gets this reply."""
        self.replies("/send", Reply(flat(steps), **how))

    def replies(self, path: str, *choices: Choice) -> None:
        self._choices[path] = list(choices)

    def choose(self, exchange: Exchange) -> Reply:
        choices = self._choices.get(exchange.route) or [answer({"error": "Not found"}, 404)]
        choice = choices.pop(0) if len(choices) > 1 else choices[0]
        return choice if isinstance(choice, Reply) else choice(exchange)

    @property
    def runs(self) -> list[Exchange]:
        return [each for each in self.exchanges if each.is_run]

    @property
    def left_behind(self) -> list[str]:
        """Leftovers of an idle proxy: responses that are still read, sessions that are still open."""
        return self.left_beside(0)

    def left_beside(self, kept: int) -> list[str]:
        """`left_behind` of a proxy that may keep this number of sessions for conversations that may continue."""
        reading = [f"the answer to {path}" for path in self._playing.values()]
        sessions = self._open_sessions - self.kept_sessions
        return reading + [f"session {session}" for session in sessions if len(sessions) > kept]

    def begin(self, exchange: Exchange, status: int) -> None:
        self.exchanges.append(exchange)
        self._playing[id(exchange)] = exchange.path
        if exchange.is_run:
            self._open_sessions.add(exchange.session)
        elif exchange.closes and status == 200:
            self._open_sessions.discard(exchange.closes)
            self.closed_sessions.append(exchange.closes)
        self.notify()

    def end(self, exchange: Exchange, outcome: Literal["played", "cut", "left"]) -> None:
        if exchange.outcome == "playing":
            exchange.outcome = outcome
            del self._playing[id(exchange)]
            self.notify()

    def notify(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until a request, a response or a connection makes the condition true."""
        await wait_until(self._changed, condition)


async def wait_until(changed: asyncio.Event, condition: Callable[[], object]) -> None:
    """Waits for a condition, which is checked after each change."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            changed.clear()
            await changed.wait()


def session_and_prompt(agent: Agent, index: int = -1) -> tuple[str, str]:
    """The session of a run, and the text of its request."""
    exchange = agent.runs[index]
    return exchange.session, "\n".join(block["text"] for block in exchange.json["message"]["content"])


def flat(steps: Iterable[Step | list[bytes]]) -> list[Step]:
    flattened: list[Step] = []
    for step in steps:
        flattened.extend(step if isinstance(step, list) else [step])
    return flattened


def no_apps() -> Reply:
    """Release 0.9.4 has no list of apps."""
    return answer({"error": "Unknown method: apps"}, 400)


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Agent]:
    """Yields a listening agent, by default on a free port. It accepts closes of sessions; runs have no reply yet."""
    agent = Agent()
    agent.replies("/close", answer({"ok": True}))
    agent.replies("/invoke", no_apps())
    agent.replies(EMPTY_SEND, answer({"error": "Invalid request body"}, 400))
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(agent), "127.0.0.1", port)
    agent.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield agent
    finally:
        server.close()
        for task in agent.tasks:
            task.cancel()
        await asyncio.gather(*agent.tasks, return_exceptions=True)


class _Connection(asyncio.Protocol):
    """One connection from the proxy, kept alive from request to request."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._received = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._exchange: Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._agent.send_buffer is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._agent.send_buffer)
        self._number = self._agent.connections
        self._agent.connections += 1
        self._agent.open_connections += 1
        self._task = asyncio.create_task(self._serve(), name=f"agent's connection {self._number}")
        self._agent.tasks.add(self._task)
        self._task.add_done_callback(self._agent.tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self._stop()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._stop()
        self._agent.open_connections -= 1
        self._agent.notify()

    def pause_writing(self) -> None:
        self._writable.clear()
        self._agent.notify()

    def resume_writing(self) -> None:
        self._writable.set()

    def _stop(self) -> None:
        """The proxy has closed the connection."""
        self._task.cancel()
        if self._exchange is not None:
            self._agent.end(self._exchange, "left")

    async def _serve(self) -> None:
        try:
            while await self._answer():
                pass
        finally:
            self._transport.close()

    async def _answer(self) -> bool:
        """Whether another request may come on this connection."""
        exchange = self._exchange = await self._read_request()
        reply = self._agent.choose(exchange)
        self._agent.begin(exchange, reply.status)
        self._transport.write(reply.head())
        for step in reply.steps:
            if isinstance(step, asyncio.Event):
                self._agent.notify()
                await step.wait()
            elif isinstance(step, bytes):
                await self._send(reply.framed(step))
                exchange.sent += len(step)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif step == "stall":
                await asyncio.Event().wait()
            else:
                self._agent.end(exchange, "cut")
                return self._break(step)
        await self._send(reply.end())
        self._agent.end(exchange, "played")
        return reply.framing in ("chunked", "length")

    def _break(self, how: str) -> bool:
        if how == "reset":
            linger_not = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
            self._transport.abort()
        return False

    async def _send(self, data: bytes) -> None:
        self._transport.write(data)
        await asyncio.sleep(0)  # lets the loop report a closed connection
        await self._writable.wait()

    async def _read_request(self) -> Exchange:
        head = (await self._read_until(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._read_exactly(int(headers.get("content-length", "0")))
        return Exchange(first.split(" ")[1], headers, body, self._number)

    async def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            await self._more()
        return await self._read_exactly(self._received.index(mark) + len(mark))

    async def _read_exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            await self._more()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()
