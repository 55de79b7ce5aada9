"""Send timeout: aborts the connections of clients that do not read their responses.

A transport that is closed first sends its buffer, without a time limit, and so does aiohttp with its own responses. So
every connection is checked, whatever is sent on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable

from ..shutdown import Closable

CHECKS_PER_LIMIT = 20
"""Checks of each connection within the limit."""

MAX_PAUSE = 1.0
"""Seconds between two checks, at most."""


_RESET = struct.pack("ii", 1, 0)
"""`struct linger` of socket(7): close() discards unsent bytes, and the client sees a reset."""


def drop(transport: asyncio.WriteTransport | None) -> None:
    """Closes immediately and discards unsent bytes, also those in the kernel, which would keep trying to send them."""
    if transport is None:
        return
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class SendProgress:
    """Measures how long a connection's send buffer has made no progress."""

    __slots__ = ("_loop", "_since", "_transport", "_unsent")

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        # state
        self._unsent = 0
        self._since = 0.0

    def stalled_for(self) -> float:
        """Seconds without progress, measured between calls; 0 while the buffer is empty."""
        unsent = self._transport.get_write_buffer_size()
        if not self._unsent or unsent < self._unsent:
            self._since = self._loop.time()
        self._unsent = unsent
        return self._loop.time() - self._since if unsent else 0.0

    def restart(self) -> None:
        """Called when the client has read something, also if the buffer has grown since."""
        self._unsent = 0

    def abort(self) -> None:
        """Closes the connection immediately, without sending the buffer."""
        drop(self._transport)


class StalledClients:
    """Aborts the connection of every client that reads nothing for `limit` seconds."""

    def __init__(self, connections: Callable[[], Iterable[Closable]]) -> None:
        self._connections = connections
        # state
        self._limit = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, limit: float) -> None:
        """Starts checking, or changes the limit. `limit`: in seconds."""
        self.stop()
        self._limit = limit
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._check)

    @property
    def _pause(self) -> float:
        return min(self._limit / CHECKS_PER_LIMIT, MAX_PAUSE)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        for connection in list(self._connections()):
            if connection.stalled_for() >= self._limit - 2 * self._pause:
                connection.abort()
        self.watch(self._limit)
