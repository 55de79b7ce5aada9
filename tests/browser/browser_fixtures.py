"""A browser, and a web site for it to visit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.browser.chromium import Browser, Site, browsing
from tests.support.proxy import StartProxy


@pytest.fixture
async def browser(proxy: StartProxy) -> AsyncIterator[Browser]:
    """It is gone before the proxy is."""
    async with browsing() as browser:
        yield browser


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
