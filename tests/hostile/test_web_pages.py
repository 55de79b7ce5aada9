"""A web page must not run the agent: requests of a browser for a page from elsewhere, and requests of others."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

EVIL = "https://evil.example"
REBOUND = "evil.example:8700"
PAGE = "https://chat.example"

RUNS = [CHAT, "/v1/completions"]
REFUSED = {"Origin": (EVIL, "origin_not_allowed"), "Host": (REBOUND, "host_not_allowed")}


@pytest.fixture
def talking(agent: Agent) -> Agent:
    agent.plays(run("Hello"))
    return agent


async def refusal(front: Proxy, path: str, **headers: str) -> str:
    """The code with which a request is refused; nothing of its body is sent, so it cannot have been read."""
    line = await front.dial()
    lines = [f"{name}: {value}" for name, value in {"Host": "localhost", **headers}.items()]
    head = [f"POST {path} HTTP/1.1", *lines, "Content-Type: text/plain", "Content-Length: 100000", "", ""]
    await line.send("\r\n".join(head).encode())
    status, received = await line.read_head()
    assert (status, received["x-should-retry"]) == (403, "false")
    assert "access-control-allow-origin" not in received
    code = check_error_body(await line.read(100_000))["code"]
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("path", [*RUNS, "/v1/models", "/v1/nothing", "/metrics", "/"])
@pytest.mark.parametrize("header", REFUSED)
async def test_a_foreign_page_is_refused_before_its_body_is_read(
    proxy: StartProxy, agent: Agent, header: str, path: str
) -> None:
    value, code = REFUSED[header]
    assert await refusal(await proxy(), path, **{header: value}) == code
    assert agent.exchanges == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("header", REFUSED)
async def test_whatever_it_asks(proxy: StartProxy, agent: Agent, header: str, method: str) -> None:
    received = await (await proxy()).request(method, CHAT, headers={header: REFUSED[header][0]})
    assert received.status == 403
    assert agent.exchanges == []


async def test_one_good_origin_or_host_does_not_excuse_another(proxy: StartProxy) -> None:
    line = await (await proxy()).dial()
    await line.post(chat_body(), headers=["Origin: http://localhost", f"Origin: {EVIL}"])
    assert (await line.read_head())[0] in (400, 403)


async def test_the_name_in_the_target_does_not_stand_for_the_host(proxy: StartProxy) -> None:
    line = await (await proxy()).dial()
    target = b"GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    await line.send(target)
    assert (await line.read_head())[0] in (400, 403)


@pytest.mark.parametrize("header", REFUSED)
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_supervisor_may_come_under_any_name(proxy: StartProxy, talking: Agent, header: str, path: str) -> None:
    received = await (await proxy()).request("GET", path, headers={header: REFUSED[header][0]})
    assert received.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({"Origin": f"http://{name}:3000"} for name in ("localhost", "127.0.0.1", "[::1]", "a.localhost")),
        *({"Origin": each} for each in ("app://x", "tauri://localhost", "vscode-webview://x", "vscode-file://x", "")),
        *({"Host": each} for each in ("localhost:1", "a.localhost", "192.0.2.7:8700", "[2001:db8::1]")),
        {"Origin": PAGE},
        {"Origin": "null"},
        {"Host": "ai.example.com:8443"},
    ],
    ids=str,
)
async def test_those_who_may_call_can(proxy: StartProxy, talking: Agent, headers: dict[str, str]) -> None:
    front = await proxy(cors=f"{PAGE},null", allowed_host=("ai.example.com",))
    assert (await front.post(chat_body(), headers=headers)).status == 200


async def test_a_client_without_a_host_is_served_as_ever(proxy: StartProxy, talking: Agent) -> None:
    line = await (await proxy()).dial()
    body = chat_body(stream=False)
    await line.send(f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert (await line.read_head())[0] == 200
    await line.read_to_end()


async def test_curl_works_as_ever(proxy: StartProxy, talking: Agent) -> None:
    front = await proxy()
    command = ["curl", "-sS", "--fail", f"{front.base}{CHAT}", "-H", "Content-Type: application/json"]
    output = await asyncio.to_thread(subprocess.check_output, [*command, "-d", chat_body().decode()], timeout=20)
    assert output.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("header", REFUSED)
async def test_a_key_says_more_than_a_page(proxy: StartProxy, talking: Agent, header: str) -> None:
    """No page knows one, and no browser adds it by itself."""
    front = await proxy(api_key=("k",))
    headers = {header: REFUSED[header][0], "Authorization": "Bearer k"}
    assert (await front.post(chat_body(), headers=headers)).status == 200


@pytest.mark.parametrize("header", REFUSED)
async def test_keys_do_not_open_the_metrics_to_pages(proxy: StartProxy, header: str) -> None:
    """They need no key, and a page whose name is rebound comes from an allowed address: its visitor's machine."""
    front = await proxy(api_key=("k",))
    value, code = REFUSED[header]
    received = await front.request("GET", "/metrics", headers={header: value})
    assert (received.status, check_error_body(received.body)["code"]) == (403, code)
    assert (await front.get("/metrics")).status == 200


async def test_a_scraper_may_use_any_name_beyond_the_loopback(proxy: StartProxy) -> None:
    front = await proxy(host="0.0.0.0", api_key=("k",))
    assert (await front.request("GET", "/metrics", headers={"Host": "oaicompat:8700"})).status == 200


BEYOND: dict[str, Any] = {"host": "0.0.0.0", "no_auth": True}


async def test_beyond_the_loopback_the_host_is_checked_where_names_are_given(proxy: StartProxy, talking: Agent) -> None:
    for settings, status in (({}, 200), ({"allowed_host": ("ai.example.com",)}, 403)):
        front = await proxy(**BEYOND, **settings)
        received = await front.post(chat_body(), headers={"Host": REBOUND})
        assert received.status == status
        assert (await front.post(chat_body(), headers={"Host": "ai.example.com"})).status == 200


async def test_beyond_the_loopback_the_origin_always_is(proxy: StartProxy, agent: Agent) -> None:
    assert await refusal(await proxy(**BEYOND), CHAT, Origin=EVIL) == "origin_not_allowed"
    assert agent.exchanges == []


async def test_no_auth_on_the_loopback_does_not_unsay_it(proxy: StartProxy, agent: Agent) -> None:
    assert await refusal(await proxy(no_auth=True), CHAT, Host=REBOUND) == "host_not_allowed"


async def test_what_an_error_repeats_is_short(proxy: StartProxy) -> None:
    front = await proxy()
    for header in REFUSED:
        received = await front.post(chat_body(), headers={header: "x" * 8000})
        assert received.status in (400, 403)
        assert len(received.body) < 1000


async def test_who_is_refused_is_counted(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy()
    assert (await front.post(chat_body(), headers={"Origin": EVIL})).status == 403
    exposition = (await front.get("/metrics")).body.decode()
    families = {each.name: each for each in text_string_to_metric_families(exposition)}
    outcomes = {each.labels["outcome"]: each.value for each in families["oaicompat_runs"].samples if each.value}
    assert outcomes == {"refused": 1}
