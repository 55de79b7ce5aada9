"""Other settings while the proxy serves: all of them at once, or none."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from ...config.settings import Config, ConfigError, reloaded
from ..access.authenticator import read_keys
from ..app import create_app
from ..context import CONFIG
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
    except Exception as error:  # a fault of this program, which must not end the service, nor reloading
        log.error("the settings stay as they are: they could not be read (%s)", type(error).__name__)
        return None
    logging.getLogger().setLevel(wanted.log_level.upper())
    log.info("the settings are read again, and in force")
    if ignored:
        log.warning("to change at a restart only, so ignored: %s", ", ".join(ignored))
    return made


def _read_keys(read: Callable[[], Config]) -> None:
    """In a thread: thousands of keys take a moment, and are there already when they are read again in the loop."""
    with contextlib.suppress(Exception):  # told when they are read in the loop
        read_keys(read())


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
            await asyncio.to_thread(_read_keys, self._read)
            other = reread(app[CONFIG], self._read, functools.partial(create_app, upstream=upstream, before=app))
            if other is not None:
                await runner.change(other)
                app = other
