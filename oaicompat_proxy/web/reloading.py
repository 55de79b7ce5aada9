"""Other settings while the proxy serves: all of them at once, or none."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from ..config import Config, ConfigError, reloaded
from .app import create_app
from .keys import CONFIG
from .runner import Runner

log = logging.getLogger(__name__)

T = TypeVar("T")


def reread(config: Config, read: Callable[[], Config], use: Callable[[Config], T]) -> T | None:
    """What `use` makes of the settings that are wanted now; None if those of before stay. The log says which.

    `config`: those of before. `read`: gives those that are wanted. Both `read` and `use` may raise ConfigError.
    """
    try:
        wanted, ignored = reloaded(config, read())
        made = use(wanted)
    except ConfigError as error:
        log.error("the settings stay as they are: %s", error)
        return None
    logging.getLogger().setLevel(wanted.log_level.upper())
    log.info("the settings are read again, and in force")
    if ignored:
        log.warning("to change at a restart only, so ignored: %s", ", ".join(ignored))
    return made


class Reloading:
    """Changes the application behind the connections, as often as it is asked to."""

    def __init__(self, read: Callable[[], Config]) -> None:
        self._read = read
        # moving
        self._asked = asyncio.Event()

    def ask(self) -> None:
        self._asked.set()

    async def listen(self, app: web.Application, runner: Runner, upstream: str) -> None:
        """For as long as the process serves. `upstream`: the gateway's address where it is not the configured one."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            other = reread(app[CONFIG], self._read, functools.partial(create_app, upstream=upstream, before=app))
            if other is not None:
                await runner.change(other)
                app = other
