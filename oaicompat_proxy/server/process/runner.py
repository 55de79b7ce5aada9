"""Serves the application on its sockets, from listening to the end of the last response."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

from aiohttp import web

from ...config.settings import Config
from ..context import CONFIG, EXPOSED
from ..http.connection import Server
from ..http.open_files import lack_logged_once
from ..http.send_progress import StalledClients
from ..http.shutdown import STOPPING
from .sockets import is_exposed

BACKLOG = 1024
"""Connections that wait to be accepted; the operating system may have a lower limit."""

ACCEPT_GRACE = 0.001
"""Least seconds before listening ends. asyncio drops a connection that it accepted in the previous iteration of the
loop; after a timer every accepted connection has its protocol."""

SHUTDOWN_TIMEOUT = 0.1
"""Seconds for handlers that have not finished although they were interrupted."""


class Runner(web.AppRunner):
    """Runs the application on connections with our limits."""

    def __init__(self, app: web.Application, config: Config) -> None:
        super().__init__(app, shutdown_timeout=SHUTDOWN_TIMEOUT)
        self._config = config

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self._config)

    @contextlib.asynccontextmanager
    async def serving(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """On exit, waits at most `drain_timeout` for responses in flight, then interrupts the rest."""
        self.app[EXPOSED] = is_exposed(sockets)
        await self.setup()
        server = cast(Server, self.server)
        self._stalled = StalledClients(server.clients)
        self._stalled.watch(_send_timeout(self._config))
        try:
            with lack_logged_once():
                for sock in sockets:
                    await web.SockSite(self, sock, backlog=BACKLOG).start()
                yield
                await self._drain()
        finally:
            left = list(server.clients())
            await self.cleanup()
            self._stalled.stop()
            for connection in left:
                connection.abort()  # unsent bytes would keep the socket open

    async def replace_app(self, app: web.Application) -> None:
        """Serves new requests with `app`. Requests in flight finish in the application they began in."""
        replacement = web.AppRunner(app)
        await replacement.setup()
        cast(Server, self.server).replace_app(cast(web.Server, replacement.server))
        self._stalled.watch(_send_timeout(app[CONFIG]))

    async def _drain(self) -> None:
        shutdown = self.app[STOPPING]
        shutdown.begin()
        await asyncio.sleep(max(self._config.drain_delay, ACCEPT_GRACE))
        for site in self.sites:
            await site.stop()
        await shutdown.drain(cast(Server, self.server).clients, within=self._config.drain_timeout)


def _send_timeout(config: Config) -> float:
    """The longest of all gateways: a connection does not know whose answer it carries."""
    return max(each.send_timeout for each in config.gateways)
