"""Whether a client takes what is sent to it: a connection whose client reads nothing would stay for ever.

A transport that is closed first sends what it holds, however long that takes; and the framework's own answers are
written without a time limit. So all connections are looked at, whatever is sent on them and by whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Protocol

LOOKS = 20
"""Looks at each connection within the limit."""

LONGEST_PAUSE = 1.0
"""Seconds between two looks, at most."""


_RESET = struct.pack("ii", 1, 0)
"""`struct linger` of socket(7): a close does not wait for what was not sent, and the client sees a reset."""


def drop(transport: asyncio.WriteTransport | None) -> None:
    """Closes at once. What the client has not taken is thrown away, also by the system, which would keep trying."""
    if transport is None:
        return
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class SendProgress:
    """Of one connection: for how long none of what waits for the client was sent."""

    __slots__ = ("_loop", "_since", "_transport", "_unsent")

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        # moving
        self._unsent = 0
        self._since = 0.0

    def stalled_for(self) -> float:
        """Seconds, as far as earlier calls could see; 0 while nothing waits."""
        unsent = self._transport.get_write_buffer_size()
        if not self._unsent or unsent < self._unsent:
            self._since = self._loop.time()
        self._unsent = unsent
        return self._loop.time() - self._since if unsent else 0.0

    def restart(self) -> None:
        """The client has taken something, though more may wait for it since."""
        self._unsent = 0

    def abort(self) -> None:
        """Closes the connection at once, without what waits."""
        drop(self._transport)


class Stallable(Protocol):
    """A client's connection."""

    def stalled_for(self) -> float:
        """Seconds for which the client has taken nothing of what waits for it."""
        ...

    def abort(self) -> None: ...


class StalledClients:
    """Drops every client that takes nothing for `limit` seconds, a moment before they are over."""

    def __init__(self, connections: Callable[[], Iterable[Stallable]]) -> None:
        self._connections = connections
        # moving
        self._limit = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, limit: float) -> None:
        """From now on, with this limit in seconds."""
        self.stop()
        self._limit = limit
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)

    @property
    def _pause(self) -> float:
        return min(self._limit / LOOKS, LONGEST_PAUSE)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        for connection in list(self._connections()):
            if connection.stalled_for() >= self._limit - 2 * self._pause:
                connection.abort()
        self.watch(self._limit)
