"""The connection to a gateway's `/events`: one, made when it is needed, and not asked for where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.upstream import listener as listening
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.listener import Listener
from tests.support.scripted_gateway import Agent, Reply

HELLO = b'data: {"type":"connection","connectionId":"e1"}\n\n'


@pytest.fixture
async def listener(agent: Agent) -> AsyncIterator[Listener]:
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    assert upstream.dialect.gateway is not None
    listener = Listener(upstream, upstream.dialect.gateway)
    yield listener
    await listener.stop()
    upstream.close()


def replies(agent: Agent, *planned: Reply) -> None:
    """To the requests for `/events` in turn; each path has another id behind it."""
    left = iter(planned)
    agent.choose = lambda _: next(left)  # type: ignore[method-assign]


async def test_it_connects_once(agent: Agent, listener: Listener) -> None:
    replies(agent, Reply([HELLO, "stall"]))
    await asyncio.gather(listener.ensure(), listener.ensure())
    await listener.ensure()
    (exchange,) = agent.exchanges
    assert exchange.path.startswith("/events?")


async def test_a_missing_greeting_is_not_waited_for(
    agent: Agent, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "CONNECTION_EVENT_TIMEOUT", 0.02)
    replies(agent, Reply(["stall"]))
    async with asyncio.timeout(1):
        await listener.ensure()
    assert len(agent.exchanges) == 1


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (500, 2)])
async def test_only_a_gateway_without_events_is_not_asked_again(
    agent: Agent, listener: Listener, status: int, asked: int
) -> None:
    replies(agent, Reply([b"{}"], status), Reply([b"{}"], status))
    for _ in range(2):
        await listener.ensure()
    assert len(agent.exchanges) == asked


async def test_its_connection_ends_with_it(agent: Agent, listener: Listener) -> None:
    replies(agent, Reply([HELLO, "stall"]))
    await listener.ensure()
    (exchange,) = agent.exchanges
    assert exchange.outcome == "playing"
    await listener.stop()
    await agent.until(lambda: exchange.outcome == "left")
