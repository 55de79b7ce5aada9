"""A listening proxy, and the requests of tests to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy

from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import StoreUnavailable
from oaicompat_proxy.server.gateway import GATEWAYS
from tests.support.scripted_gateway import PATIENCE

CHAT = "/v1/chat/completions"


SETTINGS: dict[str, Any] = {
    "port": 0,
    "connect_timeout": 6.0,
    "connect_retries": 1,
    "silence_timeout": 60.0,
    "close_timeout": 2.0,
    "body_timeout": 5.0,
    "drain_timeout": 2.0,
    "models_ttl": 0.0,
    "max_connections": 1000,
}
"""Time limits: short if a test waits for them, long if they must not end anything. Connections: any machine has open
files for them, so that no warning stands in the log."""


def chat_body(text: str = "Hi", *, stream: bool = True, **fields: Any) -> bytes:
    """A chat request with one user message; `fields` replace or add."""
    body = {"model": "default", "stream": stream, "messages": [{"role": "user", "content": text}]}
    return json.dumps({**body, **fields}).encode()


@dataclass(frozen=True)
class Received:
    """A whole HTTP response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Line:
    """One raw connection to the proxy, for misbehaving clients."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def post(self, body: bytes, *, path: str = CHAT, version: str = "1.1", headers: Iterable[str] = ()) -> None:
        """A request; `headers` are whole lines."""
        lines = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def read(self, count: int) -> bytes:
        """At most this many bytes; empty once the proxy has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(count)

    async def read_until(self, mark: bytes, *, within: float = PATIENCE) -> bytes:
        async with asyncio.timeout(within):
            return await self._reader.readuntil(mark)

    async def read_to_end(self) -> bytes:
        """Everything up to the proxy's close."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, their names in lower case."""
        head = (await self.read_until(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip("\r\n").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in pairs}

    async def read_chunks(self) -> bytes:
        """A chunked body, up to its last chunk."""
        body = b""
        while size := int(await self.read_until(b"\r\n"), 16):
            body += (await self._read_exactly(size + 2))[:-2]
        await self._read_exactly(2)
        return body

    async def _read_exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(count)

    def half_close(self) -> None:
        self._writer.write_eof()

    def reset(self) -> None:
        linger_not = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the proxy may have been first
            await self._writer.wait_closed()


@dataclass
class Proxy:
    """A proxy that listens, and a client to it."""

    app: web.Application
    config: Config
    port: int
    client: aiohttp.ClientSession
    lines: list[Line] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def chat(self, text: str = "Hi", *, stream: bool = True, **fields: Any) -> Received:
        return await self.post(chat_body(text, stream=stream, **fields))

    async def post(self, body: bytes, *, path: str = CHAT, headers: dict[str, str] | None = None) -> Received:
        return await self.request("POST", path, data=body, headers=headers)

    async def get(self, path: str) -> Received:
        return await self.request("GET", path)

    async def request(self, method: str, path: str, **how: Any) -> Received:
        async with self.client.request(method, self.base + path, **how) as response:
            return Received(response.status, response.headers, await response.read())

    async def dial(self, *, receive_buffer: int | None = None) -> Line:
        """`receive_buffer`: bytes that this side buffers unread before the proxy's writes block."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        self.lines.append(Line(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 2**16)))
        return self.lines[-1]

    async def kept_sessions(self) -> int:
        """Number of the gateway's sessions that the proxy keeps for conversations that may continue."""
        try:
            return sum([await gateway.store.count() for gateway in self.app[GATEWAYS]])
        except StoreUnavailable:
            return 0

    async def hang_up(self) -> None:
        """Closes the client and all its connections."""
        await self.client.close()
        for line in self.lines:
            await line.close()


class StartProxy(Protocol):
    def __call__(self, apis: Sequence[ClientApi] = ..., **settings: Any) -> Awaitable[Proxy]: ...
