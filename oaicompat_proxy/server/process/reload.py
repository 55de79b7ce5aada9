"""Configuration reload on SIGHUP: applies all of the new settings, or none."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from ...config.settings import Config, ConfigError, merge_reloadable
from ..access.authenticator import read_keys
from ..app import create_app
from ..context import SERVER
from .runner import Runner

log = logging.getLogger(__name__)

T = TypeVar("T")


def reload(config: Config, read: Callable[[], Config], build: Callable[[Config], T]) -> T | None:
    """Builds with the new settings; None, and an error in the log, if the old settings stay.

    `config`: the current settings. `read`: reads the new ones. `read` and `build` may raise ConfigError.
    """
    try:
        merged, ignored = merge_reloadable(config, read())
        built = build(merged)
    except ConfigError as error:
        log.error("configuration not reloaded, keeping the previous one: %s", error)
        return None
    except Exception as error:  # a bug of ours must neither end the service nor disable later reloads
        log.error("configuration not reloaded, keeping the previous one: internal error (%s)", type(error).__name__)
        return None
    logging.getLogger().setLevel(merged.log_level.upper())
    log.info("configuration reloaded")
    if ignored:
        log.warning("ignored until restart: %s", ", ".join(ignored))
    return built


def _read_keys(read: Callable[[], Config]) -> None:
    """Fills the cache of the keys file in a thread, so that thousands of keys do not block the event loop."""
    with contextlib.suppress(Exception):  # reading them again in the event loop reports the error
        read_keys(read())


class ConfigReloader:
    """Replaces the application behind the connections on each request to reload."""

    def __init__(self, read: Callable[[], Config]) -> None:
        self._read = read
        # state
        self._requested = asyncio.Event()

    def request(self) -> None:
        self._requested.set()

    async def run(self, app: web.Application, runner: Runner) -> None:
        """Runs until it is cancelled. `app`: the application that `runner` serves."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            await asyncio.to_thread(_read_keys, self._read)
            replacement = reload(app[SERVER].config, self._read, functools.partial(create_app, previous=app))
            if replacement is not None:
                await runner.replace_app(replacement)
                app = replacement
