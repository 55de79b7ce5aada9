"""Restarts under load, behind a real nginx: no answer that fits the drain time is lost."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import aiohttp

from oaicompat_proxy.demo.gateway import serve
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import Violation, check_body, check_stream
from tests.support.processes import nginx, port_of, proxy_before
from tests.support.proxy import CHAT, chat_body
from tests.support.raw_gateway import TURNS
from tests.unit.server.process.test_supervisor import booted

CLIENTS = 12
RESTARTS = 3
PACE = 0.002
"""Seconds between two words of the agent, which says about twenty."""


async def test_a_restart_each_second_loses_no_answer() -> None:
    counts: Counter[str] = Counter()
    over = asyncio.Event()
    async with serve(GatewaySettings(pace=PACE)) as gateway, proxy_before(gateway, "--workers", "2") as (child, base):
        with nginx(port_of(base)) as front:
            asking = [asyncio.create_task(ask_on(front, counts, over, stream=bool(n % 3))) for n in range(CLIENTS)]
            for number in range(1, RESTARTS + 1):
                await asyncio.sleep(1)
                child.signal(signal.SIGHUP)
                await booted(child, 2 + 2 * number)
            await asyncio.sleep(1)
            over.set()
            await asyncio.gather(*asking)
    assert await asyncio.to_thread(child.status) == 0
    assert counts.keys() == {"whole"}, counts
    assert counts["whole"] > 10 * RESTARTS


async def ask_on(base: str, counts: Counter[str], over: asyncio.Event, *, stream: bool) -> None:
    """One question after the other, on kept connections, until it is over.

    If this process stood still for longer than a draining proxy keeps an idle connection, the client must first see
    that its connection has ended, as no proxy can answer on it.
    """
    async with aiohttp.ClientSession() as client:
        while not over.is_set():
            for _ in range(TURNS):
                await asyncio.sleep(0)
            counts[await outcome(client, base, stream=stream)] += 1


async def outcome(client: aiohttp.ClientSession, base: str, *, stream: bool) -> str:
    try:
        async with client.post(base + CHAT, data=chat_body("Hello", stream=stream)) as response:
            raw = await response.read()
            if response.status != 200:
                return f"{response.status}: {raw!r}"
            answer = check_stream(raw, include_usage=False) if stream else check_body(raw)
            return "whole" if answer.finish_reason == "stop" else f"ended with {answer.error}"
    except (aiohttp.ClientError, Violation) as error:
        return f"broken: {error!r}"
