"""A client on a raw socket: strict about HTTP in responses, and able to misbehave in requests.

`Caller` asks one question after another on a connection that it keeps, so that whatever follows an answer would be
taken for the next. `play` is a script of what no well-behaved client does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal, NamedTuple

from tests.support.proxy import CHAT, Line
from tests.support.scripted_gateway import PATIENCE

Step = bytes | float | int | Literal["close", "reset", "half-close", "read"]
"""Bytes are sent; a float: a pause in seconds; an int: bytes to read at least; a word: a way to leave, or read all."""


class Answer(NamedTuple):
    """A whole answer, as it came."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Caller:
    """Sends requests on one connection. Fails if a response is no HTTP/1.1, or if bytes follow it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes, *, path: str = CHAT, headers: Iterable[str] = ()) -> Answer:
        """`headers` are whole lines."""
        reader, writer = await self._connection()
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        answer = await read_answer(reader)
        if answer.headers.get("connection") == "close":
            assert await reader.read() == b"", "something follows the last answer"
            await self.aclose()
        return answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()
        self._reader = self._writer = None


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await read_chunks(reader))
    return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))


def read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers. Fails if this is no head of a response: then bytes followed the previous response."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    version, status, *_ = first.split(" ")
    assert version == "HTTP/1.1", f"something follows an answer: {head!r}"
    pairs = (line.split(": ", 1) for line in lines)
    return int(status), {name.lower(): value for name, value in pairs}


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    pieces: list[bytes] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        piece = await reader.readexactly(size + 2)
        assert piece.endswith(b"\r\n"), f"a chunk without its end: {piece!r}"
        pieces.append(piece[:-2])
    assert await reader.readexactly(2) == b"\r\n"
    return b"".join(pieces)


async def play(line: Line, steps: Iterable[Step]) -> bytes:
    """Runs the script; returns the bytes that it read."""
    received = b""
    for step in steps:
        if isinstance(step, bytes):
            await line.send(step)
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, int):
            received += await read_at_least(line, step)
        elif step == "read":
            received += await line.read_to_end()
        else:
            await leave(line, step)
    return received


async def read_at_least(line: Line, count: int) -> bytes:
    """At least this many bytes, or fewer if the proxy closes the connection."""
    received = b""
    async with asyncio.timeout(PATIENCE):
        while len(received) < count and (data := await line.read(count - len(received))):
            received += data
    return received


async def leave(line: Line, how: str) -> None:
    if how == "reset":
        line.reset()
    elif how == "half-close":
        line.half_close()
    else:
        await line.close()
