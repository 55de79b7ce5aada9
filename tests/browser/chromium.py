"""A real browser without a window: Chromium, driven over its DevTools protocol; and a site for it to visit."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START = 60.0
"""Seconds for Chromium to start, on a machine that does much else."""
PATIENCE = 30.0
"""Seconds for a page to show something, on a machine that does much else."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-shell", "chromium-headless-shell")

FLAGS = (
    *("--headless=new", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check"),
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-sandbox"),  # a sandbox wants rights that CI does not give
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # the rest of the internet is not asked
)


@dataclass
class Page:
    """A tab."""

    session: str
    target: str
    browser: Browser

    async def show(self, url: str) -> None:
        loaded = self.browser.events("Page.loadEventFired", self.session)
        await self.browser.call("Page.navigate", {"url": url}, self.session)
        async with asyncio.timeout(START):
            await loaded.get()

    async def close(self) -> None:
        await self.browser.call("Target.closeTarget", {"targetId": self.target})

    async def type(self, selector: str, text: str, *, enter: bool = False) -> None:
        """As a person does, into the element that this selects."""
        await self.run(f"document.querySelector({selector!r}).focus()")
        await self.browser.call("Input.insertText", {"text": text}, self.session)
        if enter:
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            for what in ("keyDown", "keyUp"):
                await self.browser.call("Input.dispatchKeyEvent", {"type": what, **key}, self.session)

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 400}
        await self.browser.call("Emulation.setDeviceMetricsOverride", size, self.session)

    async def picture(self) -> bytes:
        """A screenshot, as a PNG."""
        shot = await self.browser.call("Page.captureScreenshot", {"format": "png"}, self.session)
        return base64.b64decode(shot["data"])

    async def run(self, script: str) -> Any:
        """The value of the last expression, once its promise is kept. Raises AssertionError with what was thrown."""
        how = {"expression": script, "awaitPromise": True, "returnByValue": True}
        async with asyncio.timeout(START):
            answer = await self.browser.call("Runtime.evaluate", how, self.session)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


@dataclass
class Browser:
    """One Chromium. Source of the messages: the Chrome DevTools Protocol, "Target", "Page" and "Runtime"."""

    socket: aiohttp.ClientWebSocketResponse
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    waiting: dict[tuple[str, str], asyncio.Queue[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        number = next(self.numbers)
        answer = self.answers[number] = asyncio.get_running_loop().create_future()
        more = {"sessionId": session} if session else {}
        await self.socket.send_json({"id": number, "method": method, "params": params, **more})
        return await answer

    def events(self, name: str, session: str) -> asyncio.Queue[dict[str, Any]]:
        """Those from now on."""
        queue = self.waiting[name, session] = asyncio.Queue()
        return queue

    async def listen(self) -> None:
        async for message in self.socket:
            reply = message.json()
            if "id" in reply:
                self.answers.pop(reply["id"]).set_result(reply.get("result", {"exceptionDetails": reply.get("error")}))
            elif queue := self.waiting.get((reply["method"], reply.get("sessionId", ""))):
                queue.put_nowait(reply["params"])

    async def open(self, url: str) -> Page:
        """A tab of its own, with nothing of another's."""
        context = (await self.call("Target.createBrowserContext", {}))["browserContextId"]
        created = await self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})
        how = {"targetId": created["targetId"], "flatten": True}
        page = Page((await self.call("Target.attachToTarget", how))["sessionId"], created["targetId"], self)
        await self.call("Page.enable", {}, page.session)
        await page.show(url)
        return page


async def shows(page: Page, script: str) -> Any:
    """The value of the script, once it is true."""
    async with asyncio.timeout(PATIENCE):
        while not (value := await page.run(script)):  # noqa: ASYNC110 -- the page sends no event
            await asyncio.sleep(0.05)
    return value


async def click(page: Page, selector: str, words: str = "") -> None:
    """Clicks the first such element with these words."""
    found = f"[...document.querySelectorAll({selector!r})].find(each => each.textContent.includes({words!r}))"
    await shows(page, f"(() => {{ const it = {found}; if (it) it.click(); return Boolean(it); }})()")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser that is gone afterwards, with all that it has kept."""
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


@asynccontextmanager
async def started(program: str, home: Path) -> AsyncIterator[str]:
    """Where its protocol is spoken."""
    process = await asyncio.create_subprocess_exec(
        *(program, *FLAGS, f"--user-data-dir={home}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(home)},
        start_new_session=True,  # so that its children can be ended with it
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "Chromium ended before it listened"
        draining = asyncio.create_task(_drain(process.stderr))
        yield line.decode().split()[-1]
    finally:
        os.killpg(process.pid, 9)
        await process.wait()
    await draining


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


@dataclass
class Site:
    """A web site with an empty page, under any name that ends with `.example`."""

    port: int

    def origin(self, name: str) -> str:
        return f"http://{name}:{self.port}"
