"""The way to a proxy, as its clients have it: what the doctor's checks ask through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

PATIENCE = 15.0
"""Seconds for anything that should happen at once."""

OWN_HEADER = "openai-version"
"""What every answer of the proxy's carries, and no answer of whoever stands in front of it."""


class Unreachable(Exception):
    """There is no proxy that can be tested: the message is for a person."""


@dataclass(slots=True)
class Stream:
    """A test stream, as it arrived. Times are seconds."""

    expected: int
    sent: list[float] = field(default_factory=list)
    """When each event was sent, since the proxy began."""
    arrived: list[float] = field(default_factory=list)
    """When it came, since it was asked for."""
    pings: int = 0
    """Keep-alives of either form."""
    encoding: str = ""
    status: int = 0
    lasted: float = 0.0

    @property
    def whole(self) -> bool:
        return len(self.sent) == self.expected


class Chain:
    """The address, and a client to it."""

    def __init__(self, base: URL, headers: dict[str, str]) -> None:
        self.base = base
        self.headers = headers
        self.front = ""
        """What answers as the server; nginx puts its own name there."""

    async def about(self, client: aiohttp.ClientSession, **headers: str) -> dict[str, Any]:
        """What the proxy says of itself and of this request. Raises Unreachable."""
        try:
            async with client.get(self.base / "diagnostics", headers={**self.headers, **headers}) as response:
                self.front = response.headers.get("Server", "")
                if response.status != 200:
                    raise Unreachable(self._why_not(response))
                told: dict[str, Any] = await response.json()
                return told
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise Unreachable(f"{self.base} does not answer: {error or 'no answer in time'}") from error

    def _why_not(self, response: aiohttp.ClientResponse) -> str:
        status = response.status
        if status in (401, 403):
            return f"{self.base} refuses the API key ({status}); give one with --api-key"
        if OWN_HEADER not in response.headers:
            return f"{self.base} answers {status}, and it is not the proxy that answers; is it running behind this?"
        if status == 404:
            return f"{self.base} has no diagnostics: start the proxy with --diagnostics on, and check the path"
        return f"{self.base} answers {status}"

    async def get(self, client: aiohttp.ClientSession, path: str) -> dict[str, Any]:
        async with client.get(self.base / "diagnostics" / path, headers=self.headers) as response:
            told: dict[str, Any] = await response.json()
            return told

    async def stream(self, *, encoding: str = "identity", **wanted: Any) -> Stream:
        """A whole test stream, or what came of it before it broke off."""
        stream = Stream(wanted.get("events", 1))
        headers = {**self.headers, "Accept-Encoding": encoding}
        began = time.monotonic()
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with (
                new_client(total=None, auto_decompress=False) as client,
                client.post(self.base / "diagnostics" / "streams", json=wanted, headers=headers) as response,
            ):
                stream.status = response.status
                stream.encoding = response.headers.get("Content-Encoding", "")
                await _read(response.content, stream, began)
        stream.lasted = time.monotonic() - began
        return stream

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection for what no HTTP client does."""
        secure = self.base.scheme == "https"
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(self.base.host, self.base.port, ssl=secure or None)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The first lines of a request."""
        host = self.base.raw_authority
        own = [f"{name}: {value}" for name, value in self.headers.items()]
        first = f"{method} {(self.base / 'diagnostics' / path).raw_path.rstrip('/')} HTTP/1.1"
        return "\r\n".join([first, f"Host: {host}", *own, *lines, "", ""]).encode()


async def _read(content: aiohttp.StreamReader, stream: Stream, began: float) -> None:
    pending = b""
    async for data in content.iter_any():
        *frames, pending = (pending + data).split(b"\n\n")
        if stream.encoding:
            stream.arrived.append(time.monotonic() - began)
            continue
        for frame in frames:
            event = json.loads(frame.removeprefix(b"data: ")) if frame.startswith(b"data: ") else {}
            if "at" in event:
                stream.sent.append(event["at"])
                stream.arrived.append(time.monotonic() - began)
            else:
                stream.pings += "choices" in event or frame.startswith(b":")


def new_client(*, total: float | None = PATIENCE, auto_decompress: bool = True) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=PATIENCE)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=auto_decompress)
