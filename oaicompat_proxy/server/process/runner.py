"""The application on its sockets, from listening to the end of the last answer."""

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
"""Connections that wait to be accepted; the system may have a lower limit of its own."""

ACCEPTING = 0.001
"""Seconds before listening ends, at least: asyncio forgets a connection that it accepted in the turn before, while
behind a timer all that was accepted has its protocol."""

LAST_MOMENT = 0.1
"""Seconds for what did not even end when it was interrupted."""


class Runner(web.AppRunner):
    """Runs the application on these connections."""

    def __init__(self, app: web.Application, config: Config) -> None:
        super().__init__(app, shutdown_timeout=LAST_MOMENT)
        self._config = config

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self._config)

    @contextlib.asynccontextmanager
    async def serving(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """Leaving waits for running answers, at most `drain_timeout`, and interrupts what is not over then."""
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
                connection.abort()  # what waits for its client would keep the socket open

    async def change(self, app: web.Application) -> None:
        """Requests from now on are for `app`; those under way end where they began."""
        other = web.AppRunner(app)
        await other.setup()
        assert other.server is not None
        cast(Server, self.server).stand_before(other.server)
        self._stalled.watch(_send_timeout(app[CONFIG]))

    async def _drain(self) -> None:
        stopping = self.app[STOPPING]
        stopping.begin()
        await asyncio.sleep(max(self._config.drain_delay, ACCEPTING))
        for site in self.sites:
            await site.stop()
        await stopping.drain(cast(Server, self.server).clients, within=self._config.drain_timeout)


def _send_timeout(config: Config) -> float:
    """The longest of the gateways': which one's answer waits is not known here."""
    return max(each.send_timeout for each in config.gateways)
