"""The simulated gateway speaks Agentick's protocol, and is fast enough never to limit a measurement.

A raw protocol that copies bytes built before: `python -m benchmark.gateway.server` prints its address. The prompt says
what the run is like (`frames.Run.prompt`). It answers OpenAI's chat requests too, for peers that need a model server.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any

import click
import uvloop

from .frames import HOLE, STAMP, Run, Script, build_script, parse_prompt
from .openai_frames import build_openai_answer, build_openai_script
from .timer import Ticker

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n"
    b"X-Accel-Buffering: no\r\nAccess-Control-Allow-Origin: *\r\nDate: Sun, 22 Nov 2026 07:24:57 GMT\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
APPS = b'{"apps":[{"id":"bench","name":"bench","isDefault":true}]}'
MAX_BODY = 64 * 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_SESSION = re.compile(rb'"sessionId": ?"([^"\\]+)"')
_STREAM = re.compile(rb'"stream": ?true')
_STAMP = STAMP.encode()


class Connection(asyncio.Protocol):
    """One connection, kept alive: requests come one after another."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._pending = b""
        self._playing: Playing | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._playing is not None:
            self._playing.stop()

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while self._playing is None and self._take_request():
            pass

    def _take_request(self) -> bool:
        """Takes one request from the buffer; returns whether it was complete."""
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return False
        found = _LENGTH.search(self._pending, 0, end + 2)
        stop = end + 4 + (int(found[1]) if found else 0)
        if stop > MAX_BODY:
            self._transport.close()
            return False
        if len(self._pending) < stop:
            return False
        target = self._pending[: self._pending.index(b"\r\n")].split(b" ")[1]
        body, self._pending = self._pending[end + 4 : stop], self._pending[stop:]
        self._answer(target, body)
        return True

    def _answer(self, target: bytes, body: bytes) -> None:
        if target == b"/send":
            run = parse_prompt(body)
            found = _SESSION.search(body)
            key = found[1] if found else b"main"
            self._play(run, build_script(run, len(key)), key)
        elif target == b"/invoke":
            self._json(APPS if b'"apps"' in body else b"")
        elif target == b"/close":
            self._json(b'{"ok":true}')
        elif target == b"/v1/chat/completions" and _STREAM.search(body):
            run = parse_prompt(body)
            self._play(run, build_openai_script(run), b"")
        elif target == b"/v1/chat/completions":
            self._json(build_openai_answer(parse_prompt(body)))
        else:
            self._json(b'{"error":"Not found"}', b"404 Not Found")

    def _json(self, body: bytes, status: bytes = b"200 OK") -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)

    def _play(self, run: Run, script: Script, key: bytes) -> None:
        if run.pace:
            self._playing = Playing(self, self._transport, run, script, key)
        else:
            self._transport.write(STREAM_HEAD + fill(script.at_once, key))

    def played(self) -> None:
        """Ends the run; answers the next request if it has arrived."""
        self._playing = None
        self.data_received(b"")


class Playing:
    """A run with pauses."""

    def __init__(self, connection: Connection, transport: Any, run: Run, script: Script, key: bytes) -> None:
        self._connection = connection
        self._transport = transport
        self._script = script
        self._run = run
        self._key = key
        # state
        self._next = 0
        transport.write(STREAM_HEAD + fill(script.opening, key))
        pace = run.pace / 1000
        self._ticker = Ticker(self._tick, delay=random.random() * pace, interval=pace)

    def stop(self) -> None:
        self._ticker.stop()

    def _tick(self, count: int) -> None:
        """Sends each delta, or batch, in a separate write, also if several are late."""
        for _ in range(count):
            deltas = self._script.deltas[self._next : self._next + self._run.batch]
            if not deltas:
                self._end()
                return
            data = fill(b"".join(deltas), self._key)
            if self._run.stamped:
                data = data.replace(_STAMP, b"@%019d" % time.monotonic_ns())
            self._transport.write(data)
            self._next += len(deltas)

    def _end(self) -> None:
        self.stop()
        if not self._run.hold:
            self._transport.write(fill(self._script.closing, self._key))
            self._connection.played()


def fill(data: bytes, key: bytes) -> bytes:
    """The script with the session's key in place of the holes, which have the same length."""
    return data.replace(HOLE * len(key), key) if key else data


async def serve() -> None:
    """Serves on a free port until it is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    click.echo(f"listens on http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
