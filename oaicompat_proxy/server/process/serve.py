"""A single process: listens, prints a banner, reloads on SIGHUP, shuts down on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import shlex
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import click
from aiohttp import web

from ... import __version__
from ...config.settings import Config
from ...core.caller import INTERNAL_CALLER
from ...core.errors import ProxyError
from ...demo.gateway import serve as serve_demo
from ...demo.settings import GatewaySettings
from ..app import create_app
from ..context import SERVER
from ..gateway import GATEWAYS
from ..observability.outcomes import reason_of
from ..upstream.catalog import DEFAULT_MODEL, Catalog
from .garbage import collecting, end_without_collections
from .reload import ConfigReloader
from .runner import Runner
from .sockets import address_of, open_sockets
from .systemd import readiness, watchdog

log = logging.getLogger(__name__)

BANNER_TIMEOUT = 5.0
"""Seconds for the gateway to list its models for the banner."""

INSPECT = "/inspect"
"""Path of the page that shows runs."""

EXIT_OK = 0
EXIT_INTERRUPTED = 10
"""Exit status: some responses were interrupted after `drain_timeout`. gunicorn uses 3 and 4."""


async def serve(config: Config, read: Callable[[], Config]) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit status. Raises ListenError.

    `read`: reads the settings again at SIGHUP.
    """
    end_without_collections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, functools.partial(_request_stop, stop, signum))
    reloader = ConfigReloader(read)
    loop.add_signal_handler(signal.SIGHUP, reloader.request)
    async with watchdog(), _demo(config) as upstream:
        app = create_app(config, upstream=upstream)
        with open_sockets(config) as sockets:
            runner = Runner(app, config)
            async with runner.serving(sockets):
                background = [
                    asyncio.create_task(print_banner(_info(app), config, address_of(sockets, config.host))),
                    asyncio.create_task(reloader.run(app, runner)),
                ]
                with readiness(), collecting():
                    await stop.wait()
                for task in background:
                    task.cancel()
    return EXIT_INTERRUPTED if app[SERVER].shutdown.interrupted else EXIT_OK


def _request_stop(stop: asyncio.Event, signum: signal.Signals) -> None:
    if stop.is_set():
        log.warning("second %s: exiting immediately", signum.name)
        os._exit(128 + signum)  # the status that a shell reports for a process killed by the signal
    log.info("%s: graceful shutdown, waiting for responses in flight; a second signal exits immediately", signum.name)
    stop.set()


@contextlib.asynccontextmanager
async def listening(app: web.Application, config: Config) -> AsyncIterator[int]:
    """The port, 0 for a Unix socket. On exit, waits at most `drain_timeout` for responses in flight."""
    with open_sockets(config) as sockets:
        async with Runner(app, config).serving(sockets):
            name = sockets[0].getsockname()
            yield name[1] if isinstance(name, tuple) else 0


@contextlib.asynccontextmanager
async def _demo(config: Config) -> AsyncIterator[str]:
    """The address of the demo agent, which runs inside this context; empty without `--demo`."""
    if not config.demo:
        yield ""
        return
    async with serve_demo(GatewaySettings(wire="0.14" if config.wire == "0.14" else "0.9")) as address:
        yield address


class GatewayInfo(NamedTuple):
    """A gateway, as the banner shows it."""

    prefix: str
    address: str
    catalog: Catalog


def _info(app: web.Application) -> list[GatewayInfo]:
    runtimes = [each.runtime for each in app[GATEWAYS]]
    return [GatewayInfo(each.config.prefix, each.upstream.address, each.catalog) for each in runtimes]


async def print_banner(gateways: Sequence[GatewayInfo], config: Config, address: str) -> None:
    """Prints addresses, models and an example request. `address`: where the proxy listens."""
    is_unix = address.startswith("unix:")
    host = "http://localhost" if is_unix else address
    listed = await asyncio.gather(*(_models(gateway.catalog) for gateway in gateways))
    lines = [f"oaicompat-proxy {__version__}"]
    for gateway, (_, models) in zip(gateways, listed, strict=True):
        where = f"{address} {gateway.prefix}".strip() if is_unix else address + gateway.prefix
        lines += [
            f"  listens on  {where}",
            f"  gateway     {gateway.address}{' (the demo agent)' if config.demo else ''}",
            f"  models      {models}",
        ]
    if config.inspect:
        lines.append(f"  inspect     {host}{INSPECT}")
    key = " -H 'Authorization: Bearer YOUR_KEY'" if config.has_keys else ""
    body = {"model": listed[0][0], "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    curl = f"curl -N --unix-socket {shlex.quote(address[5:])}" if is_unix else "curl -N"
    click.echo(
        "\n".join(lines) + f"\n  try         {curl} {host}{gateways[0].prefix}/chat/completions"
        f" -H 'Content-Type: application/json'{key} -d {shlex.quote(json.dumps(body))}"
    )


async def _models(catalog: Catalog) -> tuple[str, str]:
    """The first model, and all of them as text."""
    try:
        async with asyncio.timeout(BANNER_TIMEOUT):
            names = await catalog.models(INTERNAL_CALLER)
    except TimeoutError:
        return DEFAULT_MODEL, "unknown yet: the agent gateway does not answer"
    except ProxyError as error:
        return DEFAULT_MODEL, f"unknown yet: {reason_of(error) or error.message}"
    return names[0], ", ".join(names)
