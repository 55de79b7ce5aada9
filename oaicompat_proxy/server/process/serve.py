"""The process: listens, says what it fronts, stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
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
from ...core.caller import ANYONE
from ...core.errors import ProxyError
from ...demo.gateway import serve as serve_demo
from ...demo.settings import GatewaySettings
from ..app import create_app
from ..context import CONFIG, GATEWAYS
from ..http.shutdown import STOPPING
from ..upstream.catalog import CATALOG, DEFAULT_MODEL, Catalog
from ..upstream.gateway_client import UPSTREAM
from .reload import Reloading
from .runner import Runner
from .sockets import address_of, allow_files, open_sockets
from .systemd import readiness, signs_of_life

log = logging.getLogger(__name__)

OBJECTS_TO_COLLECT = 20_000
"""Objects that come to be, and stay, before the collector looks at them: those of a few hundred requests."""

GENERATIONS = (5, 5)
"""Looks at the young before one at the older: requests are long, so what is dead is often no longer young."""

PATIENCE = 5.0
"""Seconds for the gateway to say which models there are, before a person is told that it does not."""

ALL_WELL = 0
ANSWERS_CUT = 10
"""Exit status: not all answers were over within `drain_timeout`. gunicorn has 3 and 4 for itself."""


async def serve(config: Config, read: Callable[[], Config]) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit status. Raises ListenError.

    `read`: gives the settings as they are at SIGHUP.
    """
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, functools.partial(_end, ending, signum))
    reloading = Reloading(read)
    loop.add_signal_handler(signal.SIGHUP, reloading.ask)
    allow_files(config.max_connections)
    async with signs_of_life(), _demo(config) as upstream:
        app = create_app(config, upstream=upstream)
        with open_sockets(config) as sockets:
            runner = Runner(app, config)
            async with runner.serving(sockets):
                calm_collector()
                beside = [
                    asyncio.create_task(introduce(_fronted(app), config, address_of(sockets, config.host))),
                    asyncio.create_task(reloading.listen(app, runner, upstream)),
                ]
                with readiness():
                    await ending.wait()
                for task in beside:
                    task.cancel()
    return ANSWERS_CUT if app[STOPPING].cut else ALL_WELL


def _end(ending: asyncio.Event, signum: signal.Signals) -> None:
    if ending.is_set():
        log.warning("%s again: stopping at once", signum.name)
        os._exit(128 + signum)  # as a shell reports a process that the signal has ended
    log.info("%s: stopping when all answers are over; at once if it comes again", signum.name)
    ending.set()


def calm_collector() -> None:
    """Cycles are rare here and requests many, so the collector need not look after every few of them.

    What was made at the start lives as long as the process: it is not looked at again.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_TO_COLLECT, *GENERATIONS)


@contextlib.asynccontextmanager
async def listening(app: web.Application, config: Config) -> AsyncIterator[int]:
    """The port that is listened on, 0 for a file. Leaving waits for running answers, at most `drain_timeout`."""
    with open_sockets(config) as sockets:
        async with Runner(app, config).serving(sockets):
            name = sockets[0].getsockname()
            yield name[1] if isinstance(name, tuple) else 0


@contextlib.asynccontextmanager
async def _demo(config: Config) -> AsyncIterator[str]:
    """The demo agent's address, which lives inside this context; empty where a gateway is fronted."""
    if not config.demo:
        yield ""
        return
    async with serve_demo(GatewaySettings(wire="0.14" if config.wire == "0.14" else "0.9")) as address:
        yield address


class Fronted(NamedTuple):
    """A gateway, as a person is told of it."""

    prefix: str
    address: str
    catalog: Catalog


def _fronted(app: web.Application) -> list[Fronted]:
    return [Fronted(each[CONFIG].prefix, each[UPSTREAM].address, each[CATALOG]) for each in app[GATEWAYS]]


async def introduce(gateways: Sequence[Fronted], config: Config, address: str) -> None:
    """Says what a person who has just started the proxy wants to know. `address`: where it listens."""
    is_file = address.startswith("unix:")
    host = "http://localhost" if is_file else address
    known = await asyncio.gather(*(_models(gateway.catalog) for gateway in gateways))
    lines = [f"oaicompat-proxy {__version__}"]
    for gateway, (_, models) in zip(gateways, known, strict=True):
        where = f"{address} {gateway.prefix}".strip() if is_file else address + gateway.prefix
        lines += [
            f"  listens on  {where}",
            f"  fronts      {gateway.address}{' (the demo agent)' if config.demo else ''}",
            f"  models      {models}",
        ]
    key = " -H 'Authorization: Bearer YOUR_KEY'" if config.has_keys else ""
    question = {"model": known[0][0], "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    curl = f"curl -N --unix-socket {shlex.quote(address[5:])}" if is_file else "curl -N"
    click.echo(
        "\n".join(lines) + f"\n  try         {curl} {host}{gateways[0].prefix}/chat/completions"
        f" -H 'Content-Type: application/json'{key} -d {shlex.quote(json.dumps(question))}"
    )


async def _models(catalog: Catalog) -> tuple[str, str]:
    """The first, and all of them in words."""
    try:
        async with asyncio.timeout(PATIENCE):
            names = await catalog.models(ANYONE)
    except TimeoutError:
        return DEFAULT_MODEL, "unknown yet: the agent gateway does not answer"
    except ProxyError as error:
        return DEFAULT_MODEL, f"unknown yet: {error.message}"
    return names[0], ", ".join(names)
