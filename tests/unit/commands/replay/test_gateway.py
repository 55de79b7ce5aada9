"""A recording as a gateway, with the real proxy in front of it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from oaicompat_proxy.commands.replay.gateway import create_gateway, timed_reads
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.demo.gateway import serve_app
from oaicompat_proxy.recordings.format import Entry, Recording
from tests.support.conformance import check_stream
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import run

FRAMES = run("Hel", "lo")
RECORDING = Recording(
    options=AnswerOptions(), entries=[Entry(40 * number, "native", each) for number, each in enumerate(FRAMES)]
)

StartGateway = Callable[[float], Awaitable[str]]


@pytest.fixture
async def gateway() -> AsyncIterator[StartGateway]:
    async with AsyncExitStack() as stack:

        async def start(pace: float) -> str:
            return await stack.enter_async_context(serve_app(create_gateway(RECORDING, pace=pace)))

        yield start


def test_each_read_waits_for_as_long_as_it_came_after_the_one_before() -> None:
    times = [("request", 0.0), ("native", 500.0), ("native", 750.0), ("native", 700.0), ("native", 950.0)]
    recording = Recording(options=AnswerOptions(), entries=[Entry(ms, kind, b"%d" % ms) for kind, ms in times])
    expected = [(1.0, b"500"), (0.5, b"750"), (0.0, b"700"), (0.5, b"950")]
    assert list(timed_reads(recording, 2)) == expected
    assert {pause for pause, _ in timed_reads(recording, 0)} == {0}


@pytest.mark.slow
async def test_every_request_gets_the_recorded_run(gateway: StartGateway, proxy: StartProxy) -> None:
    proxied = await proxy(upstream=await gateway(0))
    for _ in range(2):
        assert check_stream((await proxied.chat()).body, include_usage=False).text == "Hello"


@pytest.mark.slow
async def test_it_names_its_app(gateway: StartGateway, proxy: StartProxy) -> None:
    proxied = await proxy(upstream=await gateway(0))
    models = json.loads((await proxied.get("/v1/models")).body)["data"]
    assert [model["id"] for model in models] == ["replay", "default"]


@pytest.mark.slow
async def test_the_pace_is_the_recorded_one_unless_another_is_wanted(gateway: StartGateway, proxy: StartProxy) -> None:
    took = []
    for pace in (0, 1, 2):
        proxied = await proxy(upstream=await gateway(pace))
        began = time.monotonic()
        await proxied.chat()
        took.append(time.monotonic() - began)
    whole = RECORDING.entries[-2].ms / 1000  # the agent's last word; the transport's own end behind it is not awaited
    assert took[1] >= whole * 0.95
    assert took[2] >= 2 * whole * 0.95
    assert took[0] < whole
