"""Closing sessions in the background: by what the gateway offers, again if it fails, bounded, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import orjson
import pytest
from agent import PATIENCE, Agent, Reply, answer, no_apps
from raw_gateway import Gateway, Peer, on_every_loop, turns

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.server.upstream import session_closer as closing
from oaicompat_proxy.server.upstream.gateway_client import Upstream
from oaicompat_proxy.server.upstream.session_closer import ATTEMPTS, Closer

HELLO = b'data: {"type":"connection","connectionId":"e1"}\n\n'
LISTENING = Reply([HELLO, "stall"])
EVENTS = "/events"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pauses between two attempts."""
    monkeypatch.setattr(closing, "FIRST_PAUSE", 0.001)


StartCloser = Callable[..., AbstractAsyncContextManager[Closer]]


@asynccontextmanager
async def closer_of(url: str, *, close_timeout: float = 2.0) -> AsyncIterator[Closer]:
    upstream = Upstream(Config(upstream=url), url)
    assert upstream.dialect.gateway is not None
    closer = Closer(upstream, upstream.dialect.gateway, close_timeout=close_timeout)
    try:
        yield closer
    finally:
        await closer.settle()
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
        assert closer.failed == 0
    assert agent.closed_sessions == ["s1", "s2"]


@pytest.mark.parametrize("status", [400, 404])
async def test_a_session_that_is_gone_already_is_closed(agent: Agent, status: int) -> None:
    agent.replies("/invoke", answer({"error": "Session not found: s1", "code": "NOT_FOUND_RESOURCE"}, status))
    async with closer_of(agent.url) as closer:
        await closer.close("s1")
    assert paths(agent) == ["/invoke"]
    assert closer.failed == 0


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


async def test_a_greeting_that_does_not_come_holds_a_close_up_for_a_moment_only(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "GREETING", 0.02)
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
    assert closer.failed == 0


async def test_what_cannot_be_closed_is_given_up_and_counted(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    agent.replies("/close", answer({}, 500))
    async with closer_of(agent.url) as closer:
        await asyncio.gather(closer.close("s1"), closer.close("s2"))
    assert paths(agent).count("/close") == 2 * ATTEMPTS
    assert closer.failed == 2
    assert "session s1 could not be closed" in caplog.text


async def test_an_attempt_has_a_time_limit(agent: Agent) -> None:
    agent.replies("/close", Reply(["stall"], framing="raw"))
    async with closer_of(agent.url, close_timeout=0.02) as closer:
        await closer.close("s1")
    assert paths(agent).count("/close") == ATTEMPTS
    assert closer.failed == 1
    await agent.until(lambda: not agent.left_behind)


async def test_a_gateway_that_is_not_there_is_given_up(unused_tcp_port: int) -> None:
    async with closer_of(f"http://127.0.0.1:{unused_tcp_port}") as closer:
        await closer.close("s1")
    assert closer.failed == 1


async def test_only_so_many_are_under_way_at_once_and_only_so_many_wait(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(closing, "MOST_WAITING", 4)
    gate = asyncio.Event()
    agent.replies("/invoke", Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        for number in range(6):
            closer.close_soon(f"s{number}")
        await turns()
        assert closer.failed == 2
        await agent.until(lambda: len(agent.exchanges) == 2)
        assert len(agent.left_behind) == 2
        gate.set()
        await agent.until(lambda: len(agent.closed_sessions) == 4)
    assert closer.failed == 2
    assert sorted(agent.closed_sessions) == ["s0", "s1", "s2", "s3"]


async def test_at_the_end_what_still_waits_is_given_up_and_counted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST_AT_ONCE", 1)
    agent.replies("/invoke", Reply(["stall"], framing="raw"))
    async with closer_of(agent.url, close_timeout=0.02) as closer:
        for number in range(50):
            closer.close_soon(f"s{number}")
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert 40 < closer.failed <= 50
    await agent.until(lambda: not agent.left_behind)


async def kept_connection(closer: Closer) -> None:
    """Those who close after this have a connection, and need no task."""
    await closer.close("the first")


async def test_what_is_closed_behind_a_settling_is_closed_as_well(agent: Agent) -> None:
    """Requests of an application whose place another has taken go on, and so do their sessions."""
    gate = asyncio.Event()
    agent.replies("/invoke", answer(None), Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        await kept_connection(closer)
        closer.close_soon("s1")
        settling = asyncio.create_task(closer.settle())
        await agent.until(lambda: len(agent.exchanges) == 2)
        gate.set()
        await settling
        for key in ("s2", "s3"):
            closer.close_soon(key)
            async with asyncio.timeout(PATIENCE):
                while closer.unfinished:  # noqa: ASYNC110 - it says nobody that it is done
                    await asyncio.sleep(0)
    assert (agent.closed_sessions, closer.unfinished) == (["the first", "s1", "s2", "s3"], 0)
    assert {each.connection for each in agent.exchanges} == {0}, "which no error of ours has broken"


async def test_a_close_that_fails_at_once_waits_for_its_turn_like_all_others(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST_WAITING", 2)
    monkeypatch.setattr(closing, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(closing, "FIRST_PAUSE", PATIENCE)
    agent.replies("/invoke", answer(None), answer(None, status=500))
    async with closer_of(agent.url, close_timeout=0.02) as closer:
        await kept_connection(closer)
        for number in range(5):
            closer.close_soon(f"s{number}")
    assert closer.failed == 4, "two found no room, two still waited for theirs, and one of these had been tried"


async def test_settling_waits_for_what_is_being_closed(agent: Agent) -> None:
    gate = asyncio.Event()
    agent.replies("/invoke", Reply([gate, b"{}"], 200, "application/json", "chunked"))
    async with closer_of(agent.url) as closer:
        closer.close_soon("s1")
        settling = asyncio.create_task(closer.settle())
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
async def with_a_kept_connection(gateway: Gateway) -> AsyncIterator[tuple[Closer, Peer]]:
    async with closer_of(f"http://127.0.0.1:{gateway.port}") as closer:
        first = asyncio.create_task(closer.close("the first"))
        peer = await gateway.peer()
        await peer.request()
        peer.send(CLOSED)
        await first
        yield closer, peer


@on_every_loop
async def test_those_of_one_turn_are_asked_in_a_row_on_one_connection(gateway: Gateway) -> None:
    async with with_a_kept_connection(gateway) as (closer, peer):
        for key in ("s1", "s2", "s3"):
            closer.close_soon(key)
        assert closer.unfinished == 3
        assert [await asked(peer) for _ in range(3)] == [("s1", ""), ("s2", ""), ("s3", "")]
        assert closer.unfinished == 3
        await peer.send_apart([CLOSED, CLOSED])
        assert closer.unfinished == 1
        await peer.send_apart([CLOSED])
        assert (closer.unfinished, closer.failed, closer.retried) == (0, 0, 0)
    assert len(gateway.peers) == 1


@pytest.mark.parametrize("answered", [0, 1, 2])
@pytest.mark.parametrize("how", ["close", "reset"])
@on_every_loop
async def test_where_a_row_breaks_the_rest_is_asked_one_by_one_and_so_are_others_for_a_while(
    gateway: Gateway, how: str, answered: int
) -> None:
    """Without a pause: what stands before the gateway may just not take requests in a row."""
    async with with_a_kept_connection(gateway) as (closer, peer):
        keys = ["s1", "s2", "s3"]
        for key in keys:
            closer.close_soon(key)
        assert [await asked(peer) for _ in keys] == [(key, "") for key in keys]
        peer.send(CLOSED * answered)
        await turns()
        getattr(peer, how)()
        left = []
        for number in range(1, 4 - answered):
            other = await gateway.peer(number)
            left.append((await asked(other))[0])
            other.send(CLOSED)
        assert left == keys[answered:]
        await turns(20)
        assert (closer.unfinished, closer.failed, closer.retried) == (0, 0, 0)
        before = len(gateway.peers)
        for key in ("s4", "s5"):
            closer.close_soon(key)
        await gateway.until(lambda: len([each for each in gateway.peers if each._received]) == 2)
        alone = [each for each in gateway.peers if each._received]
        assert sorted([(await asked(each))[0] for each in alone]) == ["s4", "s5"], "each on its own connection"
        for each in alone:
            each.send(CLOSED)
        await turns(20)
        assert closer.unfinished == 0
        assert len(gateway.peers) <= before + 1


@on_every_loop
async def test_after_a_rest_they_are_asked_in_a_row_again(gateway: Gateway) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "REST", 0.0)
        async with with_a_kept_connection(gateway) as (closer, peer):
            for key in ("s1", "s2"):
                closer.close_soon(key)
            assert [(await asked(peer))[0] for _ in range(2)] == ["s1", "s2"]
            peer.send(CLOSED)
            await turns()
            peer.close()
            other = await gateway.peer(1)
            assert (await asked(other))[0] == "s2"
            other.send(CLOSED)
            await turns(20)
            for key in ("s3", "s4"):
                closer.close_soon(key)
            assert [(await asked(other))[0] for _ in range(2)] == ["s3", "s4"]
            other.send(CLOSED * 2)
            await turns(20)
            assert closer.unfinished == 0


@on_every_loop
async def test_each_caller_is_spoken_for_in_its_own_name(gateway: Gateway) -> None:
    async with with_a_kept_connection(gateway) as (closer, peer):
        whose = {name: Caller(name=name, scope=name, authorization=f"Bearer {name}") for name in ("ada", "ben")}
        upstreams = {name: closer._upstream.speaking_for(caller) for name, caller in whose.items()}
        for key, name in (("s1", "ada"), ("s2", "ben"), ("s3", "ada")):
            closer.close_soon(key, upstreams[name])
        assert [await asked(peer) for _ in range(2)] == [("s1", "Bearer ada"), ("s3", "Bearer ada")]
        other = await gateway.peer(1)
        assert await asked(other) == ("s2", "Bearer ben")
        peer.send(CLOSED * 2)
        other.send(CLOSED)
        await turns(20)
        assert closer.unfinished == 0


async def test_a_row_has_a_longest_length(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MOST_IN_A_ROW", 3)
    agent.replies("/invoke", answer(None))
    async with closer_of(agent.url) as closer:
        await kept_connection(closer)
        for number in range(7):
            closer.close_soon(f"s{number}")
    assert sorted(agent.closed_sessions) == sorted(["the first", *(f"s{number}" for number in range(7))])
    (kept, *others) = Counter(each.connection for each in agent.exchanges).most_common()
    assert kept == (0, 4), "the first, and three in a row"
    assert len(others) >= 1
    assert closer.failed == 0


async def test_a_row_that_the_gateway_does_not_understand_is_closed_the_older_way(agent: Agent) -> None:
    agent.replies("/invoke", no_apps())
    plays_events(agent, LISTENING)
    async with closer_of(agent.url) as closer:
        exchange = await closer._upstream._client.request("GET", EVENTS)  # so that there is a connection
        exchange.cut()
        agent.replies("/ready", answer(None))
        await (await closer._upstream._client.request("POST", "/ready")).finish(1)
        for key in ("s1", "s2", "s3"):
            closer.close_soon(key)
    assert sorted(agent.closed_sessions) == ["s1", "s2", "s3"]
    assert (closer.failed, closer.retried) == (0, 0)


async def test_a_row_that_fails_in_the_gateway_is_tried_again(agent: Agent) -> None:
    agent.replies("/invoke", answer(None), answer(None), answer(None, status=500), answer(None))
    async with closer_of(agent.url) as closer:
        await kept_connection(closer)
        for key in ("s1", "s2", "s3"):
            closer.close_soon(key)
        async with asyncio.timeout(PATIENCE):
            while closer.unfinished:  # noqa: ASYNC110 - it says nobody that it is done
                await asyncio.sleep(0)
        assert (closer.failed, closer.retried) == (0, 1)
