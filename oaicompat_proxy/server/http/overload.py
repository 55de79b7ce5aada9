"""Answers connections above `--max-connections` with 503 and closes them."""

from __future__ import annotations

import asyncio
import uuid
from typing import cast

from ...api.registry import DEFAULT_API
from ...core.errors import TooManyConnections

REQUEST_WAIT = 1.0
"""Seconds to wait for the first bytes of a request: a client may not read a response that comes before."""

MAX_OPEN = 100
"""Rejected connections at a time; further ones are closed without a response."""


class OverloadResponse(asyncio.Protocol):
    """Answers the first bytes with 503, then closes."""

    def __init__(self, others: set[OverloadResponse]) -> None:
        """`others`: all open ones, to which this one is added."""
        self._others = others

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(REQUEST_WAIT, self._transport.abort)
        self._others.add(self)
        if len(self._others) > MAX_OPEN:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_answer())
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._others.discard(self)


def _answer() -> bytes:
    error = TooManyConnections("This server has as many connections as it accepts; try again in a moment.")
    answer, request_id = DEFAULT_API.encode_error(error), f"req_{uuid.uuid4().hex}"
    headers = {
        **answer.headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(answer.body)),
        "Connection": "close",
        "Server": "oaicompat-proxy",
        **DEFAULT_API.answer_headers(request_id, 0),
    }
    lines = ["HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + answer.body
