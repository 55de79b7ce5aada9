"""Closing sessions in the background: by a method that the gateway has, again after a failure, bounded, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import orjson
import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.server.upstream import listener
from oaicompat_proxy.server.upstream import session_closer as closing
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.session_closer import ATTEMPTS, GatewaySessionCloser
from tests.support.raw_gateway import Gateway, Peer, on_every_loop, turns
from tests.support.scripted_gateway import PATIENCE, Agent, Reply, answer, no_apps

HELLO = b'data: {"type":"connection","connectionId":"e1"}\n\n'
pytestmark = pytest.mark.usefixtures("no_close_pauses")

LISTENING = Reply([HELLO, "stall"])
EVENTS = "/events"


StartCloser = Callable[..., AbstractAsyncContextManager[GatewaySessionCloser]]


@asynccontextmanager
async def closer_of(url: str, *, close_timeout: float = 2.0) -> AsyncIterator[GatewaySessionCloser]:
    upstream = Upstream(Config(upstream=url), url)
    assert upstream.dialect.gateway is not None
    closer = GatewaySessionCloser(upstream, upstream.dialect.gateway, close_timeout=close_timeout)
    try:
        yield closer
    finally:
        await closer.shutdown()
        upstream.close()


def paths(agent: Agent) -> list[str]:
    return [each.path.partition("?")[0] for each in agent.exchanges]


def plays_events(agent: Agent, *replies: Reply) -> None:
    """`/events` has an id of the caller's behind it, so the reply is chosen by the path alone."""
    left = [*replies]
    choose = agent.choose

    def chosen(exchange: object) -> Reply:
        path = exchange.path  # type: ignore[attr-defined]
        if path.startswith(EVENTS):
            return left.pop(0) if len(left) > 1 else left[0]
        return choose(exchange)  # type: ignore[arg-type]

    agent.choose = chosen  # type: ignore[method-assign]


# By what there is


async def test_a_gateway_that_knows_the_method_is_asked_for_nothing_else(agent: Agent) -> None:
    agent.replies("/invoke", answer(None))
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2"):
            await closer.close(key)
    assert paths(agent) == ["/invoke", "/invoke"]
    assert [each.json for each in agent.exchanges] == [
        {"method": "close", "params": {"sessionId": key}} for key in ("s1", "s2")
    ]


@pytest.mark.parametrize(
    "unknown",
    [
        no_apps(),
        answer({"error": "Unknown method: close"}, 400),
        answer({"error": "Unknown method: close", "code": "NOT_FOUND_RESOURCE"}, 404),
        Reply([b'{"error":"Not found"}'], 404, "application/json", "length"),
        answer({"error": "Method not allowed"}, 405),
        answer({}, 501),
    ],
)
async def test_one_that_does_not_is_asked_once_and_then_closed_the_older_way(agent: Agent, unknown: Reply) -> None:
    agent.replies("/invoke", unknown)
    plays_events(agent, LISTENING)
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2"):
            await closer.close(key)
        assert paths(agent) == ["/invoke", EVENTS, "/close", "/close"]
        assert closer.gave_up == 0
    assert agent.closed_sessions == ["s1", "s2"]


@pytest.mark.parametrize("status", [400, 404])
async def test_a_session_that_is_gone_already_is_closed(agent: Agent, status: int) -> None:
    agent.replies("/invoke", answer({"error": "Session not found: s1", "code": "NOT_FOUND_RESOURCE"}, status))
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
    assert paths(agent) == ["/invoke"]
    assert closer.gave_up == 0


# The connection that listens


async def test_it_listens_before_it_closes(agent: Agent) -> None:
    """The gateway counts a listener from its greeting on."""
    gate = asyncio.Event()
    plays_events(agent, Reply([gate, HELLO, "stall"]))
    async with closer_of(agent.url) as closer:
        closing_ = asyncio.create_task(closer.close("s1"))
        await agent.until(lambda: EVENTS in paths(agent))
        other = asyncio.create_task(closer.close("s2"))
        await agent.until(lambda: paths(agent).count("/invoke") >= 1)
        assert "/close" not in paths(agent)
        gate.set()
        await asyncio.gather(closing_, other)
        assert paths(agent).count(EVENTS) == 1


async def test_a_missing_greeting_delays_a_close_for_a_moment(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "CONNECTION_EVENT_TIMEOUT", 0.02)
    plays_events(agent, Reply(["stall"]))
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
    assert agent.closed_sessions == ["s1"]


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_gateway_without_events_is_asked_once(agent: Agent, status: int) -> None:
    plays_events(agent, answer({}, status))
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2", "s3"):
            await closer.close(key)
    assert paths(agent).count(EVENTS) == 1
    assert agent.closed_sessions == ["s1", "s2", "s3"]


@pytest.mark.parametrize("trouble", [answer({}, 503), Reply(["cut"], framing="raw"), Reply(["reset"], framing="raw")])
async def test_events_that_failed_once_are_asked_for_again(agent: Agent, trouble: Reply) -> None:
    """A gateway that was just starting has them soon."""
    plays_events(agent, trouble, LISTENING)
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2", "s3"):
            await closer.close(key)
        assert paths(agent).count(EVENTS) == 2


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_a_connection_that_was_lost_is_made_again_with_the_next_close(agent: Agent, end: str) -> None:
    gate = asyncio.Event()
    plays_events(agent, Reply([HELLO, gate, end]), LISTENING)  # type: ignore[list-item]
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
        gate.set()
        (reading,) = (task for task in asyncio.all_tasks() if task.get_name() == "listen to the gateway")
        await asyncio.wait([reading], timeout=5)
        await closer.close("s2")
        await closer.close("s3")
        assert paths(agent).count(EVENTS) == 2


async def test_the_connection_ends_with_the_closer(agent: Agent) -> None:
    plays_events(agent, LISTENING)
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
        (events,) = (each for each in agent.exchanges if each.path.startswith(EVENTS))
        assert events.outcome == "playing"
    await agent.until(lambda: events.outcome == "left")


# Again, bounded, counted


@pytest.mark.parametrize("path", ["/invoke", "/close"])
@pytest.mark.parametrize("trouble", [answer({}, 500), answer({}, 503), Reply(["cut"]), Reply(["reset"], framing="raw")])
async def test_a_close_that_fails_is_tried_again(agent: Agent, path: str, trouble: Reply) -> None:
    good = answer(None) if path == "/invoke" else answer({"ok": True})
    agent.replies(path, trouble, trouble, good)
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
    assert paths(agent).count(path) == 3
    assert closer.gave_up == 0


async def test_what_cannot_be_closed_is_given_up_and_counted(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    agent.replies("/close", answer({}, 500))
    async with closer_of(agent.url) as closer:
        await asyncio.gather(closer.close("s1"), closer.close("s2"))
    assert paths(agent).count("/close") == 2 * ATTEMPTS
    assert closer.gave_up == 2
    assert "session s1 could not be closed" in caplog.text


@pytest.mark.slow
async def test_an_attempt_has_a_time_limit(agent: Agent) -> None:
    agent.replies("/close", Reply(["stall"], framing="raw"))
    async with closer_of(agent.url, close_timeout=0.5) as closer:
        await closer.close("s1")
    assert paths(agent).count("/close") == ATTEMPTS
    assert closer.gave_up == 1
    await agent.until(lambda: not agent.left_behind)


async def test_a_gateway_that_is_not_there_is_given_up(unused_tcp_port: int) -> None:
    async with closer_of(f"http://127.0.0.1:{unused_tcp_port}") as closer:
        await closer.close("s1")
    assert closer.gave_up == 1


async def test_only_so_many_are_under_way_at_once_and_only_so_many_wait(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MAX_CONCURRENT", 2)
    monkeypatch.setattr(closing, "MAX_QUEUED", 4)
    gate = asyncio.Event()
    agent.replies("/invoke", Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        for number in range(8):
            closer.close_soon(f"s{number}")
        assert (closer.pending, closer.gave_up) == (6, 2)
        await agent.until(lambda: len(agent.exchanges) == 2)
        assert len(agent.left_behind) == 2
        gate.set()
        await agent.until(lambda: len(agent.closed_sessions) == 6)
    assert closer.gave_up == 2
    assert sorted(agent.closed_sessions) == ["s0", "s1", "s2", "s3", "s4", "s5"]


async def test_at_the_end_what_still_waits_is_given_up_and_counted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MAX_CONCURRENT", 1)
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    async with closer_of(agent.url, close_timeout=0.02) as closer:
        for number in range(50):
            closer.close_soon(f"s{number}")
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert 40 < closer.gave_up <= 50
    await agent.until(lambda: not agent.left_behind)


async def until_idle(closer: GatewaySessionCloser) -> None:
    async with asyncio.timeout(PATIENCE):
        while closer.pending:  # noqa: ASYNC110 - no event marks it
            await asyncio.sleep(0)


async def test_a_session_is_closed_after_a_shutdown_as_well(agent: Agent) -> None:
    """Requests of an application that was replaced go on, and so do their sessions."""
    gate = asyncio.Event()
    agent.replies("/invoke", answer(None), Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        await closer.close("the first")
        closer.close_soon("s1")
        stopping = asyncio.create_task(closer.shutdown())
        await agent.until(lambda: len(agent.exchanges) == 2)
        gate.set()
        await stopping
        for key in ("s2", "s3"):
            closer.close_soon(key)
            await until_idle(closer)
    assert (agent.closed_sessions, closer.pending) == (["the first", "s1", "s2", "s3"], 0)
    assert {each.connection for each in agent.exchanges} == {0}, "no error has closed the kept connection"


@pytest.mark.parametrize("trouble", [answer({}, 500), Reply(["cut"]), Reply(["stall"], framing="raw")])
async def test_a_close_on_an_idle_connection_is_tried_again_too(agent: Agent, trouble: Reply) -> None:
    agent.replies("/invoke", answer(None), trouble, answer({}, 503), answer(None))
    async with closer_of(agent.url, close_timeout=0.2) as closer:
        await closer.close("the first")
        closer.close_soon("s1")
        assert closer.pending == 1
        await until_idle(closer)
    assert paths(agent) == ["/invoke"] * 4
    assert (closer.retried, closer.gave_up) == (2, 0)


async def test_a_close_is_not_repeated_without_the_credentials(agent: Agent) -> None:
    agent.replies("/invoke", answer(None), answer({}, 401))
    async with closer_of(agent.url) as closer:
        await closer.close("the first")
        closer.close_soon("s1")
        await until_idle(closer)
    assert (paths(agent), closer.gave_up) == (["/invoke", "/invoke"], 1)


async def test_a_gateway_that_has_lost_the_method_closes_the_older_way(agent: Agent) -> None:
    """It may be replaced by an older release at any time."""
    agent.replies("/invoke", answer(None), answer({"error": "Not found"}, 404))
    async with closer_of(agent.url) as closer:
        await closer.close("the first")
        closer.close_soon("s1")
        await until_idle(closer)
    assert paths(agent) == ["/invoke", "/invoke", EVENTS, "/close"]
    assert agent.closed_sessions[-1] == "s1"


async def test_a_close_on_an_idle_connection_takes_no_task(agent: Agent) -> None:
    gate = asyncio.Event()
    agent.replies("/invoke", answer(None), Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        await closer.close("the first")
        before = len(asyncio.all_tasks())
        closer.close_soon("s1")
        assert (closer.pending, len(asyncio.all_tasks())) == (1, before)
        gate.set()
        await until_idle(closer)


async def test_settling_waits_for_what_is_being_closed(agent: Agent) -> None:
    gate = asyncio.Event()
    agent.replies("/invoke", Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        closer.close_soon("s1")
        settling = asyncio.create_task(closer.shutdown())
        await agent.until(lambda: agent.exchanges)
        assert not settling.done()
        gate.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(settling, 5)
        assert settling.done()


# Several at once

CLOSED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def asked(peer: Peer) -> tuple[str, str]:
    """The session of the next close that comes there, and on whose word."""
    head, _, body = (await peer.request()).partition(b"\r\n\r\n")
    (authorization, *_) = [
        line.partition(b": ")[2].decode() for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")
    ] or [""]
    return orjson.loads(body)["params"]["sessionId"], authorization


@asynccontextmanager
async def with_a_kept_connection(gateway: Gateway) -> AsyncIterator[tuple[GatewaySessionCloser, Peer]]:
    async with closer_of(f"http://127.0.0.1:{gateway.port}") as closer:
        first = asyncio.create_task(closer.close("the first"))
        peer = await gateway.peer()
        await peer.request()
        peer.send(CLOSED)
        await first
        yield closer, peer


@on_every_loop
async def test_a_connection_has_one_close_at_a_time(gateway: Gateway) -> None:
    """A request that follows another before its response (HTTP pipelining) is more than many servers accept."""
    async with with_a_kept_connection(gateway) as (closer, peer):
        keys = {"s1", "s2", "s3"}
        for key in keys:
            closer.close_soon(key)
        assert closer.pending == 3
        peers = [peer, await gateway.peer(1), await gateway.peer(2)]
        assert {(await asked(each))[0] for each in peers} == keys
        await turns(20)
        assert not any(each.received for each in peers)
        for each in peers:
            each.send(CLOSED)
        await until_idle(closer)
        assert (closer.gave_up, closer.retried, len(gateway.peers)) == (0, 0, 3)


@on_every_loop
async def test_workers_close_what_is_queued_on_the_connections_that_are_there(gateway: Gateway) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "MAX_CONCURRENT", 1)
        async with with_a_kept_connection(gateway) as (closer, peer):
            keys = [f"s{number}" for number in range(5)]
            for key in keys:
                closer.close_soon(key)
            for key in keys:
                assert await asked(peer) == (key, "")
                peer.send(CLOSED)
            await until_idle(closer)
        assert len(gateway.peers) == 1


async def test_thousands_are_closed_at_once(agent: Agent) -> None:
    agent.replies("/invoke", answer(None))
    async with closer_of(agent.url) as closer:
        for number in range(3000):
            closer.close_soon(f"s{number}")
        await until_idle(closer)
        assert len(agent.closed_sessions) == len({*agent.closed_sessions}) == 3000
        assert (closer.gave_up, closer.retried) == (0, 0)
        assert len({each.connection for each in agent.exchanges}) <= closing.MAX_CONCURRENT


@on_every_loop
async def test_each_session_is_closed_with_its_callers_credentials(gateway: Gateway) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "MAX_CONCURRENT", 1)
        async with with_a_kept_connection(gateway) as (closer, peer):
            names = ("ada", "ben", "ada")
            for number, name in enumerate(names):
                caller = Caller(name=name, scope=name, authorization=f"Bearer {name}")
                closer.close_soon(f"s{number}", closer.upstream.with_credentials_of(caller))
            for number, name in enumerate(names):
                assert await asked(peer) == (f"s{number}", f"Bearer {name}")
                peer.send(CLOSED)
            await until_idle(closer)


async def test_a_gateway_without_the_method_closes_all_the_older_way(agent: Agent) -> None:
    agent.replies("/invoke", no_apps())
    plays_events(agent, LISTENING)
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2", "s3"):
            closer.close_soon(key)
        await until_idle(closer)
        assert sorted(agent.closed_sessions) == ["s1", "s2", "s3"]
        assert (closer.gave_up, closer.retried) == (0, 0)


async def test_a_close_that_fails_does_not_delay_the_others(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "FIRST_PAUSE", 0.2)
    agent.replies("/invoke", answer(None, status=500), answer(None))
    async with closer_of(agent.url) as closer:
        for key in ("s1", "s2", "s3"):
            closer.close_soon(key)
        await agent.until(lambda: len(agent.exchanges) == 3)
        async with asyncio.timeout(PATIENCE):
            while closer.pending > 1:  # noqa: ASYNC110 - no event marks it
                await asyncio.sleep(0)
        assert len(agent.exchanges) == 3, "the failed one waits to be tried again"
        await until_idle(closer)
        assert (closer.gave_up, closer.retried) == (0, 1)


async def test_requests_do_not_wait_for_closes(agent: Agent) -> None:
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    agent.replies("/", answer(None))
    async with closer_of(agent.url, close_timeout=0.2) as closer:
        for number in range(2 * closing.MAX_CONCURRENT):
            closer.close_soon(f"s{number}")
        await agent.until(lambda: len(agent.exchanges) == closing.MAX_CONCURRENT)
        assert await closer.upstream.probe() in (200, 404)
        assert closer.pending == 2 * closing.MAX_CONCURRENT
    await agent.until(lambda: not agent.left_behind)
