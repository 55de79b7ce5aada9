"""Connects to the proxy as a client does, and sends the requests of the doctor's checks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import aiohttp
from yarl import URL

from ..connection_failure import describe

TIMEOUT = 15.0
"""Seconds for a connection, or for a response that should come at once."""

PROXY_HEADER = "openai-version"
"""A header of every response of the proxy, and of no response of a server in front of it."""


class Unreachable(Exception):
    """The proxy cannot be tested. The message is for people."""


@dataclass(slots=True)
class ReceivedStream:
    """A test stream as it was received. Times are seconds."""

    expected: int
    sent: list[float] = field(default_factory=list)
    """When the proxy sent each event, since it began to respond."""
    arrived: list[float] = field(default_factory=list)
    """When each event arrived, since the request was sent."""
    pings: int = 0
    """Number of keep-alives, as chunks or comments."""
    encoding: str = ""
    status: int = 0
    duration: float = 0.0

    @property
    def is_complete(self) -> bool:
        return len(self.sent) == self.expected


class Probe:
    """The proxy's base URL, and requests to its diagnostics."""

    def __init__(self, base: URL, headers: dict[str, str]) -> None:
        self.base = base
        self.headers = headers
        self.server_name = ""
        """The `Server` header of the last response, in which nginx puts its own name."""

    async def get_diagnostics(self, client: aiohttp.ClientSession, **headers: str) -> dict[str, Any]:
        """The proxy's diagnostics of itself and of this request. Raises Unreachable."""
        try:
            async with client.get(self.base / "diagnostics", headers={**self.headers, **headers}) as response:
                self.server_name = response.headers.get("Server", "")
                if response.status != 200:
                    raise Unreachable(self._explain(response))
                body: dict[str, Any] = await response.json()
                return body
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise Unreachable(f"{self.base} does not answer: {describe(error)}") from error

    def _explain(self, response: aiohttp.ClientResponse) -> str:
        status = response.status
        if status in (401, 403):
            return f"{self.base} refuses the API key ({status}); give one with --api-key"
        if PROXY_HEADER not in response.headers:
            return f"{self.base} answers {status}, and it is not the proxy that answers; is it running behind this?"
        if status == 404:
            return f"{self.base} has no diagnostics: start the proxy with --diagnostics on, and check the path"
        return f"{self.base} answers {status}"

    async def get(
        self, client: aiohttp.ClientSession, path: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any]:
        async with client.get(self.base / "diagnostics" / path, headers={**self.headers, **headers}) as response:
            body: dict[str, Any] = await response.json()
            return body

    async def read_stream(self, *, encoding: str = "identity", **wanted: Any) -> ReceivedStream:
        """Requests a test stream and reads it to its end, or until it breaks off."""
        stream = ReceivedStream(wanted.get("events", 1))
        headers = {**self.headers, "Accept-Encoding": encoding}
        began = time.monotonic()
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with (
                new_client(total=None, auto_decompress=False) as client,
                client.post(self.base / "diagnostics" / "streams", json=wanted, headers=headers) as response,
            ):
                stream.status = response.status
                stream.encoding = response.headers.get("Content-Encoding", "")
                try:
                    await _read(response.content, stream, began)
                except asyncio.CancelledError:
                    _abort(response)
                    raise
        stream.duration = time.monotonic() - began
        return stream

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A raw connection, for requests that no HTTP client sends."""
        secure = self.base.scheme == "https"
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(self.base.host, self.base.port, ssl=secure or None)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def request_head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of a request to the diagnostics."""
        host = self.base.raw_authority
        own = [f"{name}: {value}" for name, value in self.headers.items()]
        first = f"{method} {(self.base / 'diagnostics' / path).raw_path.rstrip('/')} HTTP/1.1"
        return "\r\n".join([first, f"Host: {host}", *own, *lines, "", ""]).encode()


def _abort(response: aiohttp.ClientResponse) -> None:
    """Leaves as a program that ends. Over TLS, asyncio's `close` waits 30 s for a goodbye that nginx does not send."""
    if (connection := response.connection) is not None and connection.transport is not None:
        connection.transport.abort()


async def _read(content: aiohttp.StreamReader, stream: ReceivedStream, began: float) -> None:
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


def new_client(*, total: float | None = TIMEOUT, auto_decompress: bool = True) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=TIMEOUT)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=auto_decompress)
