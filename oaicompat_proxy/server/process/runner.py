"""Serves the application on its sockets, from listening until the last response ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from aiohttp import web

from ...config.settings import Config
from ..context import EXPOSED, SERVER
from ..http.connection import Connection, Server
from ..http.open_files import open_files_handler
from ..http.send_progress import StalledClients
from .sockets import is_exposed, raise_open_file_limit

BACKLOG = 1024
"""Connections that wait to be accepted; the operating system may have a lower limit."""

ACCEPT_GRACE = 0.001
"""Least seconds before listening ends. asyncio drops a connection that it accepted in the previous iteration of the
loop; after a timer every accepted connection has its protocol."""

SHUTDOWN_TIMEOUT = 0.1
"""Seconds for handlers that have not finished although they were interrupted."""


class Runner:
    """Runs the application on connections with the limits of `Connection`."""

    def __init__(self, app: web.Application, config: Config) -> None:
        self._app = app
        self._config = config
        # state
        self._server: Server | None = None
        self._stalled = StalledClients(self._clients)

    @property
    def requests_count(self) -> int:
        """Requests since the start."""
        return self._server.requests_count if self._server is not None else 0

    @contextlib.asynccontextmanager
    async def serving(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """On exit, waits at most `drain_timeout` for responses in flight, then interrupts the rest."""
        self._app[EXPOSED] = is_exposed(sockets)
        async with contextlib.AsyncExitStack() as stack:
            runner = web.AppRunner(self._app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            self._server = Server(_server_of(runner), self._config, raise_open_file_limit(self._config.max_connections))
            sites = web.ServerRunner(self._server, shutdown_timeout=SHUTDOWN_TIMEOUT)
            await sites.setup()
            self._stalled.watch(_send_timeout(self._config))
            stack.push_async_callback(self._close, sites)
            with open_files_handler():
                for sock in sockets:
                    await web.SockSite(sites, sock, backlog=BACKLOG).start()
                yield
                await self._drain(sites)

    async def replace_app(self, app: web.Application) -> None:
        """Serves new requests with `app`. Requests in flight finish in the application they began in."""
        app[EXPOSED] = self._app[EXPOSED]
        replacement = web.AppRunner(app)
        await replacement.setup()
        assert self._server is not None
        self._server.replace_app(_server_of(replacement))
        self._stalled.watch(_send_timeout(app[SERVER].config))

    def _clients(self) -> list[Connection]:
        return self._server.clients() if self._server is not None else []

    async def _drain(self, sites: web.ServerRunner) -> None:
        shutdown = self._app[SERVER].shutdown
        shutdown.begin()
        await asyncio.sleep(max(self._config.drain_delay, ACCEPT_GRACE))
        for site in sites.sites:
            await site.stop()
        await shutdown.drain(self._clients, within=self._config.drain_timeout)

    async def _close(self, sites: web.ServerRunner) -> None:
        left = self._clients()
        await sites.cleanup()
        self._stalled.stop()
        for connection in left:
            connection.abort()  # unsent bytes would keep the socket open


def _server_of(runner: web.AppRunner) -> web.Server:
    """aiohttp's server of the application. It accepts no connections: `Connection` passes requests to it."""
    assert runner.server is not None
    return runner.server


def _send_timeout(config: Config) -> float:
    """The longest send timeout of all gateways, because a connection may serve any of them."""
    return max(each.send_timeout for each in config.gateways)
