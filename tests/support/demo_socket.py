"""The demo gateway on a socket file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from oaicompat_proxy.demo.gateway import create_gateway
from oaicompat_proxy.demo.settings import GatewaySettings


@asynccontextmanager
async def gateway_on(path: Path) -> AsyncIterator[str]:
    """Serves the gateway on this socket file; yields its address for `--upstream`."""
    runner = web.AppRunner(create_gateway(GatewaySettings(pace=0)), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield f"unix:{path}"
    finally:
        await runner.cleanup()
