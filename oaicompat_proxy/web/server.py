"""The process: listens, says what it fronts, stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import logging
import shlex
import signal
from collections.abc import AsyncIterator

import click
from aiohttp import web

from .. import __version__
from ..addresses import is_loopback
from ..config import Config
from ..demo.gateway import serve as serve_demo
from ..demo.settings import GatewaySettings
from ..errors import ProxyError
from ..keyring import ANYONE
from .app import create_app
from .connection import Runner
from .keys import CATALOG, UPSTREAM

log = logging.getLogger(__name__)

OBJECTS_TO_COLLECT = 20_000
"""Objects that come to be, and stay, before the collector looks at them: those of a few hundred requests."""

GENERATIONS = (5, 5)
"""Looks at the young before one at the older: requests are long, so what is dead is often no longer young."""


class ListenError(Exception):
    """The address cannot be listened on; the message is for the person who started the proxy."""


async def serve(config: Config) -> None:
    """Serves until SIGINT or SIGTERM. Raises ListenError."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopping.set)
    async with _gateway(config) as upstream:
        app = create_app(config, upstream=upstream)
        async with listening(app, config) as port:
            calm_collector()
            if config.no_auth and not is_loopback(config.host):
                log.warning("anybody who reaches %s can use the agent: --no-auth asks for no key", config.host)
            click.echo(await _introduction(app, config, port))
            await stopping.wait()
            log.info("stopping")


def calm_collector() -> None:
    """Cycles are rare here and requests many, so the collector need not look after every few of them.

    What was made at the start lives as long as the process: it is not looked at again.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_TO_COLLECT, *GENERATIONS)


@contextlib.asynccontextmanager
async def listening(app: web.Application, config: Config) -> AsyncIterator[int]:
    """The port that is listened on. Leaving waits for running answers, at most `drain_timeout`."""
    runner = Runner(app, handler_cancellation=True, shutdown_timeout=config.drain_timeout)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except OSError as error:
            raise ListenError(_why_not(error, config)) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _gateway(config: Config) -> AsyncIterator[str]:
    """The gateway's address; the demo agent lives inside this context."""
    if not config.demo:
        yield config.upstream
        return
    async with serve_demo(GatewaySettings()) as address:
        yield address


def _why_not(error: OSError, config: Config) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} of {config.host} is taken; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {config.port} needs privileges; choose one above 1023 with --port"
    return f"cannot listen on {config.host}: {error.strerror or error}"


async def _introduction(app: web.Application, config: Config, port: int) -> str:
    """What a person who has just started the proxy wants to know."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(config.host, config.host)
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}{config.prefix}"
    model = "default"
    try:
        names = await app[CATALOG].models(ANYONE)
        model = names[0]
        models = ", ".join(names)
    except ProxyError as error:
        models = f"unknown yet: {error.message}"
    key = " -H 'Authorization: Bearer YOUR_KEY'" if config.has_keys else ""
    question = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    return "\n".join(
        [
            f"oaicompat-proxy {__version__}",
            f"  listens on  {base}",
            f"  fronts      {app[UPSTREAM].address}{' (the demo agent)' if config.demo else ''}",
            f"  models      {models}",
            f"  try         curl -N {base}/chat/completions -H 'Content-Type: application/json'{key}"
            f" -d {shlex.quote(json.dumps(question))}",
        ]
    )
