"""One run over HTTP: its state and ids beside its events."""

from __future__ import annotations

import asyncio
import gzip
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, cast

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import Event, RunEnded, TextDelta
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.sse import KEEP_ALIVE
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.ag_ui import runs
from oaicompat_proxy.dialects.ag_ui.reader import EventReader
from oaicompat_proxy.dialects.protocol import HttpCall
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.http_exchange import NO_LIMITS
from oaicompat_proxy.server.upstream.run import Run
from tests.support.raw_gateway import turns
from tests.support.scripted_gateway import PATIENCE, Agent, Reply, run


@pytest.fixture
async def begun(agent: Agent) -> AsyncIterator[Run]:
    upstream = Upstream(Config(upstream=agent.url), agent.url)
    begun = upstream.run(upstream.dialect.build_run(Turn((Text("Hi"),)), app="", key="s1", run_id="r1"))
    yield begun
    begun.abort()
    upstream.close()


async def pull(run: Run) -> list[Event]:
    return [event async for events in run for event in events]


async def push(run: Run) -> list[Event]:
    pushed: list[Event] = []

    def take(events: Iterable[Event]) -> bool:
        pushed.extend(events)
        return run.state != "finished"

    await run.push_to(take)
    return pushed


Read = Callable[[Run], Coroutine[Any, Any, list[Event]]]
both_ways = pytest.mark.parametrize("read", [pull, push])


@both_ways
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_gateways_bytes_are_shown_decompressed(agent: Agent, begun: Run, read: Read, encoding: str) -> None:
    sent = b"".join(run("Ahoy."))
    body, headers = (sent, ()) if encoding == "identity" else (gzip.compress(sent), (("Content-Encoding", "gzip"),))
    agent.replies("/send", Reply([body], headers=headers))
    shown: list[bytes] = []
    begun.on_gateway_bytes = shown.append
    await begun.open()
    assert RunEnded() in await read(begun)
    assert b"".join(shown) == sent


@both_ways
async def test_a_read_that_expands_is_spread_over_turns(agent: Agent, begun: Run, read: Read) -> None:
    """Other requests are served between its pieces."""
    sent = KEEP_ALIVE * 100_000 + b"".join(run("Ahoy."))
    agent.replies("/send", Reply([gzip.compress(sent)], headers=[("Content-Encoding", "gzip")]))
    loop, turn, turns = asyncio.get_running_loop(), 0, []

    def count() -> None:
        nonlocal turn, counter
        turn += 1
        counter = loop.call_soon(count)

    counter = loop.call_soon(count)
    begun.on_gateway_bytes = lambda _: turns.append(turn)
    await begun.open()
    assert RunEnded() in await read(begun)
    counter.cancel()
    assert len(turns) == len(set(turns)) > 5


async def test_a_pause_stops_a_compressed_read_that_expands(agent: Agent, begun: Run) -> None:
    """The client does not read: all that is translated further would be buffered for it."""
    sent = KEEP_ALIVE * 100_000 + b"".join(run("Ahoy."))
    agent.replies("/send", Reply([gzip.compress(sent)], headers=[("Content-Encoding", "gzip")]))
    shown: list[bytes] = []
    begun.on_gateway_bytes = shown.append
    await begun.open()
    paused = asyncio.Event()

    def take(events: Iterable[Event]) -> bool:
        list(events)
        if shown and not paused.is_set():
            begun.pause()
            paused.set()
        return begun.state != "finished"

    pushing = asyncio.create_task(begun.push_to(take))
    await paused.wait()
    await turns(50)
    assert (len(shown), pushing.done()) == (1, False)
    begun.resume()
    await pushing
    assert b"".join(shown) == sent


async def test_a_paused_compressed_run_that_is_aborted_fails(agent: Agent, begun: Run) -> None:
    agent.replies(
        "/send", Reply([gzip.compress(b"".join(run("Ahoy."))), "stall"], headers=[("Content-Encoding", "gzip")])
    )
    await begun.open()

    def take(events: Iterable[Event]) -> bool:
        list(events)
        begun.pause()
        return True

    pushing = asyncio.create_task(begun.push_to(take))
    await turns(50)
    begun.abort(UpstreamError("Stopped."))
    with pytest.raises(UpstreamError, match=r"Stopped\."):
        await pushing


async def test_bytes_that_cannot_be_read_are_shown_first(agent: Agent, begun: Run) -> None:
    agent.replies("/send", Reply([b"data: no JSON\n\n"]))
    shown: list[bytes] = []
    begun.on_gateway_bytes = shown.append
    await begun.open()
    with pytest.raises(UpstreamError):
        await pull(begun)
    assert shown == [b"data: no JSON\n\n"]


@both_ways
async def test_each_watch_receives_what_the_one_before_it_returns(agent: Agent, begun: Run, read: Read) -> None:
    agent.replies("/send", Reply([*run("Ahoy.")]))
    seen: list[Event] = []

    def see(event: Event) -> Event:
        seen.append(event)
        return event

    begun.watch(lambda event: TextDelta("Aye.") if isinstance(event, RunEnded) else event)
    begun.watch(see)
    await begun.open()
    events = await read(begun)
    assert events[-1] == TextDelta("Aye.")
    assert seen == events


class BusyExchange:
    """A response that always has more to read, and so never lets the event loop run."""

    status = 200
    complete = False
    received = 0

    def __init__(self, first: bytes, later: bytes) -> None:
        self._next, self._later = first, later
        self._patience = asyncio.get_running_loop().time() + PATIENCE

    async def head(self) -> None:
        pass

    def take_headers(self) -> dict[bytes, bytes]:
        return {b"content-type": b"text/event-stream"}

    async def read_chunks(self) -> list[bytes]:
        assert asyncio.get_running_loop().time() < self._patience, "it reads for ever"
        data, self._next = self._next, self._later
        return [data]


class BusyClient:
    def __init__(self, exchange: BusyExchange) -> None:
        self._exchange = exchange

    def post_on_idle(self, *_: Any, **__: Any) -> BusyExchange:
        return self._exchange


@pytest.mark.skipif(not inspect.isfunction(Run.open), reason="a compiled Run takes no client of another class")
async def test_an_agent_that_is_busy_behind_the_end_does_not_delay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "AFTER_RUN_WAIT", 0.01)
    ends = (b'data: {"type":"RUN_%b","threadId":"t1","runId":"r1"}\n\n' % word for word in (b"STARTED", b"FINISHED"))
    exchange = BusyExchange(b"".join(ends), b'data: {"type":"STEP_STARTED","stepName":"x"}\n\n')
    reader = EventReader(max_frame=1000, run_id="r1")
    busy = Run(cast(Any, BusyClient(exchange)), HttpCall("/", b""), reader, NO_LIMITS)
    await busy.open()
    assert RunEnded() in await pull(busy)
