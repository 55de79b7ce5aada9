"""What `doctor` asks of the proxy: exact, bounded, and of no use to anybody else."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oaicompat_proxy.core.build import FORM, python_build
from oaicompat_proxy.server.endpoints.diagnostic_streams import MAX_PER_CALLER
from tests.support.conformance import PING, check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import EMPTY_SEND, Agent, Reply, answer, run

BASE = "/v1/diagnostics"
STREAMS = f"{BASE}/streams"


def ask(proxied: Proxy, **wanted: Any) -> Any:
    return proxied.post(json.dumps(wanted).encode(), path=STREAMS)


def events(received: Received) -> list[dict[str, Any]]:
    lines = received.body.decode().split("\n\n")
    found = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return [event for event in found if "choices" not in event]


async def state(proxied: Proxy, token: str) -> Any:
    return json.loads((await proxied.get(f"{STREAMS}/{token}")).body)


async def has_ended(proxied: Proxy, token: str) -> bool:
    return not (await state(proxied, token))["running"]


async def is_taken(proxied: Proxy) -> bool:
    return bool((await ask(proxied)).status == 200)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        for _ in range(500):
            if await condition():
                return
            await asyncio.sleep(0.01)


# How a request looked


async def test_it_shows_how_this_request_arrived(proxy: StartProxy) -> None:
    proxied = await proxy(max_body=12345)
    headers = {"X-Request-Id": "me", "Connection": "close", "Authorization": "Bearer s3cr3t"}
    received = await proxied.request("GET", BASE, headers=headers)
    report = json.loads(received.body)
    assert (report["http"], report["connection"], report["request_id"], report["authorized"]) == (
        "1.1",
        "close",
        "me",
        True,
    )
    assert (report["form"], report["python"]) == (FORM, python_build())
    assert report["max_body"] == 12345
    assert b"s3cr3t" not in received.body


async def test_it_shows_the_version_of_http(proxy: StartProxy) -> None:
    line = await (await proxy()).dial()
    await line.send(f"GET {BASE} HTTP/1.0\r\n\r\n".encode())
    assert b'"http": "1.0"' in await line.read_to_end()


async def test_connections_can_be_distinguished(proxy: StartProxy) -> None:
    proxied = await proxy()
    first, second = await proxied.dial(), await proxied.dial()
    addresses = []
    for line in (first, first, second):
        await line.send(f"GET {BASE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        _, headers = await line.read_head()
        addresses.append(json.loads(await line.read(int(headers["content-length"])))["peer"])
    assert addresses[0] == addresses[1] != addresses[2]


# Streams


async def test_a_stream_has_the_events_and_the_pauses_that_were_asked_for(proxy: StartProxy) -> None:
    received = await ask(await proxy(), events=4, interval=0.05)
    sent = [event["at"] for event in events(received)]
    assert [event["number"] for event in events(received)] == [0, 1, 2, 3]
    assert all(later - earlier >= 0.045 for earlier, later in itertools.pairwise(sent))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "ping"), [("chunk", PING), ("comment", b": ping\n\n")])
async def test_a_silence_is_filled_with_the_pings_asked_for(proxy: StartProxy, form: str, ping: bytes) -> None:
    """In the form in which answers have them."""
    proxied = await proxy(keep_alive_form=form)
    assert json.loads((await proxied.get(BASE)).body)["keep_alive_form"] == form
    for pings, count in ((0.1, 3), (0, 0), (1, 0)):
        received = await ask(proxied, events=2, silence=0.35, pings=pings)
        assert received.body.count(ping) == count
        first, second = (event["at"] for event in events(received))
        assert second - first >= 0.34


async def test_a_stream_is_sent_as_answers_are(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply(run("Hi")))
    agent.replies("/invoke", answer(None))
    proxied = await proxy()
    theirs, ours = await proxied.chat(), await ask(proxied)
    for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering", "Transfer-Encoding"):
        assert ours.headers[name] == theirs.headers[name]


async def test_the_header_for_nginx_can_be_left_out(proxy: StartProxy) -> None:
    proxied = await proxy()
    assert (await ask(proxied)).headers["X-Accel-Buffering"] == "no"
    assert "X-Accel-Buffering" not in (await ask(proxied, accel=False)).headers


async def test_a_client_that_leaves_is_noticed_and_when(proxy: StartProxy) -> None:
    proxied = await proxy()
    line = await proxied.dial()
    await line.post(json.dumps({"token": "t1", "events": 2, "silence": 30}).encode(), path=STREAMS)
    await line.read_until(b"data: ")
    assert await state(proxied, "t1") == {"known": True, "running": True, "left_seconds_ago": None}
    await line.close()
    await until(lambda: has_ended(proxied, "t1"))
    seen = await state(proxied, "t1")
    assert 0 <= seen["left_seconds_ago"] < 1
    await asyncio.sleep(0.1)
    assert (await state(proxied, "t1"))["left_seconds_ago"] >= 0.1


async def test_one_that_stays_has_not_left(proxy: StartProxy) -> None:
    proxied = await proxy()
    await ask(proxied, token="t2")
    assert await state(proxied, "t2") == {"known": True, "running": False, "left_seconds_ago": None}
    assert await state(proxied, "t3") == {"known": False}


# Bounds


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"events": 101}, "events"),
        ({"events": 0}, "events"),
        ({"interval": 1.1}, "interval"),
        ({"silence": 301}, "silence"),
        ({"silence": -1}, "silence"),
        ({"pings": "often"}, "pings"),
        ({"token": "x" * 65}, "token"),
        ({"size": 10}, "size"),
    ],
)
async def test_what_would_cost_too_much_is_refused(proxy: StartProxy, wanted: dict[str, Any], param: str) -> None:
    received = await ask(await proxy(), **wanted)
    assert received.status == 400
    assert check_error_body(received.body)["param"] == param


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"silence": NaN}', b"\xff"])
async def test_a_body_that_says_nothing_is_refused(proxy: StartProxy, body: bytes) -> None:
    received = await (await proxy()).post(body, path=STREAMS)
    assert received.status == 400
    check_error_body(received.body)


async def test_only_a_few_run_at_once(proxy: StartProxy) -> None:
    proxied = await proxy()
    lines = [await proxied.dial() for _ in range(MAX_PER_CALLER)]
    for line in lines:
        await line.post(b'{"events": 2, "silence": 30}', path=STREAMS)
        await line.read_until(b"data: ")
    received = await ask(proxied)
    assert (received.status, check_error_body(received.body)["code"]) == (429, "diagnostics_busy")
    await lines[0].close()
    await until(lambda: is_taken(proxied))


async def test_only_some_are_remembered(proxy: StartProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.endpoints.diagnostic_streams.MAX_REMEMBERED", 2)
    proxied = await proxy()
    for token in "abc":
        await ask(proxied, token=token)
    assert [(await state(proxied, token))["known"] for token in "abc"] == [False, True, True]


async def test_it_can_be_switched_off(proxy: StartProxy) -> None:
    proxied = await proxy(diagnostics="off")
    for path in (BASE, f"{BASE}/gateway"):
        assert (await proxied.get(path)).status == 404
    assert (await ask(proxied)).status == 404


async def test_it_is_for_those_who_have_a_key(proxy: StartProxy) -> None:
    proxied = await proxy(api_key=("sk-1",))
    for path in (BASE, f"{BASE}/gateway", f"{STREAMS}/t"):
        assert (await proxied.get(path)).status == 401
    assert (await ask(proxied)).status == 401
    assert (await proxied.request("GET", BASE, headers={"Authorization": "Bearer sk-1"})).status == 200


# The gateway


async def test_the_gateway_is_asked_without_consequence_and_seldom(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/invoke", lambda exchange: answer({"error": f"Unknown method: {exchange.json['method']}"}, 400))
    refusal = "Invalid message format. Expected { role, content: ContentBlock[] }"
    agent.replies(EMPTY_SEND, answer({"error": refusal}, 400))
    proxied = await proxy()
    for _ in range(3):
        report = json.loads((await proxied.get(f"{BASE}/gateway")).body)
    assert report == {
        "reachable": True,
        **dict.fromkeys(("apps", "close", "confirm", "abort", "messages"), False),
    }
    *methods, sent = agent.exchanges
    assert [each.json.get("method", each.path) for each in methods] == ["apps", "close", "tool-confirm", "/abort"]
    assert (sent.path, sent.json) == ("/send", {})
    assert agent.runs == []


async def test_an_agent_without_a_gateway_is_only_looked_for(agent: Agent, proxy: StartProxy) -> None:
    proxied = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor")
    assert json.loads((await proxied.get(f"{BASE}/gateway")).body) == {"reachable": True}
    assert [each.path for each in agent.exchanges] == ["/harbor"]


async def test_methods_that_refuse_are_there(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/invoke", answer({"error": "Session not found: x", "code": "NOT_FOUND_RESOURCE"}, 404))
    report = json.loads((await (await proxy()).get(f"{BASE}/gateway")).body)
    assert report == {"reachable": True, "apps": True, "close": True, "confirm": True, "abort": False}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_gateway_that_refuses_our_token_is_reported(agent: Agent, proxy: StartProxy, status: int) -> None:
    agent.replies("/invoke", answer({"error": "no"}, status))
    report = json.loads((await (await proxy(upstream_token="s3cr3t")).get(f"{BASE}/gateway")).body)
    assert report["reachable"] is False
    assert str(status) in report["reason"]
    assert "s3cr3t" not in report["reason"]
