"""The proxy in a process of its own, in front of a demo gateway of the test's process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.demo.state import GatewayState
from tests.support.processes import Child, stopping
from tests.support.proxy import Proxy
from tests.support.proxy_harness import Front
from tests.support.scripted_gateway import PATIENCE


@asynccontextmanager
async def running_worker(flags: tuple[str, ...], url: str, gateway_state: GatewayState) -> AsyncIterator[Front]:
    """Starts `oaicompat-proxy` with these flags. `url`, `gateway_state`: of the gateway. Ends the process on exit."""
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", *flags)) as child:
        listening = await asyncio.to_thread(child.wait_for, r"listens on +http://127\.0\.0\.1:(\d+)")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3 * PATIENCE)) as client:
            there = Front(url, gateway_state, Proxy(web.Application(), Config(upstream=url), int(listening[1]), client))
            try:
                yield there
            finally:
                await there.proxy.hang_up()
