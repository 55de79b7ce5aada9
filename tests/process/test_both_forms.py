"""The compiled form sends what plain Python sends, to the client and to the gateway, byte for byte.

The one proxy is that of the checkout, in whichever form it stands there; the other is a copy of its modules, which is
always plain. Where the checkout is plain too, the test shows that nothing but ids and times differs from run to run.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from oaicompat_proxy.core.build import FORM
from tests.golden.test_golden import NAMES, read_options
from tests.support.api_clients import CLIENTS, ApiClient
from tests.support.paths import GOLDEN, ROOT
from tests.support.processes import Child
from tests.support.scripted_gateway import Agent, Reply, serving

pytestmark = pytest.mark.slow

AGENTICK = [name for name in NAMES if read_options(name).dialect == "agentick"]
READ_BYTES = 700
"""Bytes that the gateway sends at a time."""
_CHANGES = re.compile(rb"\b[A-Za-z0-9]+[-_:][0-9A-Za-z_-]{16,}|(?<=\"created\":)\d+|(?<=_at\":)\d+")
"""Ids and times of an answer."""


class Traffic(NamedTuple):
    """One request, as both sides of the proxy see it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    asked: list[bytes]
    """The runs that the gateway was asked for."""


class Front(NamedTuple):
    agent: Agent
    base: str


@pytest.fixture
async def fronts(tmp_path: Path) -> AsyncIterator[list[Front]]:
    """A proxy of the checkout and a plain one, each before a gateway of its own."""
    copy = tmp_path / "oaicompat_proxy"
    shutil.copytree(ROOT / "oaicompat_proxy", copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    async with AsyncExitStack() as stack:
        found = []
        for home, form in ((ROOT, FORM), (tmp_path, "plain Python")):
            agent = await stack.enter_async_context(serving())
            command = [sys.executable, "-P", "-m", "oaicompat_proxy", "--upstream", agent.url, "--port", "0"]
            environment = {**os.environ, "PYTHONPATH": str(home)}
            child = Child(*command, env=environment, cwd="/")
            stack.push_async_callback(asyncio.to_thread, child.stop)  # the agent hears how sessions are closed
            base = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
            async with aiohttp.ClientSession() as client, client.get(f"{base}/healthz") as response:
                assert await response.json() == {"status": "ok", "form": form}
            found.append(Front(agent, base))
        yield found


def reads(stream: bytes) -> list[bytes]:
    return [stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES)]


def questions() -> Iterator[tuple[ApiClient, bytes]]:
    """Requests of each API, streamed and whole."""
    text = "Is it \u2028 high tide? \U0001f30a \\ud83c"
    for api in CLIENTS:
        for stream in (True, False):
            yield api, api.request(text, {"temperature": 0.5, "max_tokens": 7}, stream=stream)


async def ask(front: Front, client: aiohttp.ClientSession, path: str, body: bytes) -> Traffic:
    before = len(front.agent.exchanges)
    headers = {"Content-Type": "application/json", "X-Session-Id": "", "anthropic-version": "2023-06-01"}
    async with client.post(front.base + path, data=body, headers=headers) as response:
        received = await response.read()
        shown = sorted((name, _same(value.encode()).decode()) for name, value in response.headers.items())
    await front.agent.until(lambda: all(each.outcome != "playing" for each in front.agent.runs[-1:]))
    asked = [_same(each.body) for each in front.agent.exchanges[before:] if each.is_run]
    changing = {"date", "x-request-id", "request-id", "openai-processing-ms"}
    return Traffic(response.status, [each for each in shown if each[0].lower() not in changing], _same(received), asked)


def _same(data: bytes) -> bytes:
    return _CHANGES.sub(b"?", data)


async def test_the_same_traffic_gives_the_same_bytes_in_both_forms(fronts: list[Front]) -> None:
    async with aiohttp.ClientSession() as client:
        for name in AGENTICK:
            stream = (GOLDEN / f"{name}.native.sse").read_bytes()
            for api, body in questions():
                for front in fronts:
                    front.agent.replies("/send", Reply(reads(stream)))
                here, plain = [await ask(front, client, api.path, body) for front in fronts]
                assert here == plain, f"{name}, {api.name}: {body!r}"


BROKEN = [
    b"",
    b"{",
    b"[]",
    b'{"model": 1}',
    b'{"model": "owl", "messages": []}',
    b'{"model": "owl", "messages": [{"role": "user", "content": "\xff"}]}',
    b'{"model": "owl", "messages": [{"role": "user", "content": [{"type": "image_url"}]}], "stream": "yes"}',
    b'{"model": "owl", "input": {"a": 1}, "messages": [{"role": "tool", "content": "?"}]}',
]


async def test_the_same_mistakes_give_the_same_errors_in_both_forms(fronts: list[Front]) -> None:
    async with aiohttp.ClientSession() as client:
        for api in CLIENTS:
            for body in BROKEN:
                here, plain = [await ask(front, client, api.path, body) for front in fronts]
                assert here == plain, f"{api.name}: {body!r}"
                assert here.status == 400
