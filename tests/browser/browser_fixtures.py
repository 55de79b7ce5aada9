"""A browser, and a web site for it to visit."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.browser.chromium import NAMES, Browser, Site, started
from tests.support.proxy import StartProxy


@pytest.fixture
async def browser(proxy: StartProxy) -> AsyncIterator[Browser]:
    """It is gone before the proxy is."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "this test needs Chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with (
            started(program, Path(home)) as address,
            aiohttp.ClientSession() as client,
            client.ws_connect(address, max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            yield browser
            listening.cancel()
            await asyncio.wait([listening])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>page</title><body></body>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    yield Site(runner.addresses[0][1])
    await runner.cleanup()
