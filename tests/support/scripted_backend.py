"""A scripted HTTP server that takes the proxy's place behind nginx."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

DEADLINE = 15.0
"""Seconds for anything that should happen immediately, on a busy machine."""
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(slots=True)
class Request:
    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{re.escape(name)}: (.*)\r$", self.head, re.I | re.M)
        return found and found[1]


Reply = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Backend:
    """Reads whole requests and calls `reply` for each, which may close the connection."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.requests: list[Request] = []
        self.connections: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Waits until the clients have closed their connections."""
        self._server.close()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*self.connections)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"^content-length: (\d+)", head, re.I | re.M)
                request = Request(head, await reader.readexactly(int(length[1]) if length else 0))
                self.requests.append(request)
                await self._reply(request, reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def agree(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def break_off(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def error_of(body: bytes | str) -> dict[str, Any]:
    """The error in an OpenAI body, which has all four fields and a message for people."""
    parsed = json.loads(body)
    assert list(parsed) == ["error"]
    error: dict[str, Any] = parsed["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error
