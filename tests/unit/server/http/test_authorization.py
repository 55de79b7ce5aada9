"""Keys, from socket to socket: which are accepted, the errors of the others, and the gateway's headers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from pathlib import Path

import pytest

from oaicompat_proxy.server.access import authenticator as callers
from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import CHAT, Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Reply, answer, run
from tests.unit.server.http.test_access_log import NAME, line_of

ADA, BOB = "sk-ada-4f1c", "sk-bob-77aa"
PAGE = "https://page.example"
COMPLETIONS = "/v1/completions"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def keys_file(path: Path, **keys: str) -> str:
    """Name and key of each; text after a line end is more of its entry."""
    entries = []
    for name, text in keys.items():
        key, _, more = text.partition("\n")
        entries.append(f'[keys.{name}]\nhash = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n{more}\n')
    file = path / "keys.toml"
    file.write_text("".join(entries))
    return str(file)


async def get(front: Proxy, path: str, **headers: str) -> Received:
    return await front.request("GET", path, headers=headers)


# Who gets in


@pytest.mark.parametrize("stream", [True, False])
async def test_a_key_gets_in(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=(ADA, BOB))
    for key in (ADA, BOB):
        assert (await front.post(chat_body(stream=stream), headers=bearer(key))).status == 200


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key", "X-API-KEY"])
async def test_a_key_may_come_as_other_clients_send_it(proxy: StartProxy, agent: Agent, name: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=(ADA,))
    value = f"bearer  {ADA} " if name == "Authorization" else ADA
    assert (await front.post(chat_body(), headers={name: value})).status == 200


CLOSED = [
    ("POST", CHAT),
    ("POST", COMPLETIONS),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/demo"),
    ("HEAD", "/v1/models"),
    ("GET", CHAT),
    ("POST", "/v1/nope"),
    ("POST", "/v1"),
    ("GET", "/"),
    ("GET", "/v1/../healthz/x"),
    ("POST", "/healthz"),
    ("GET", "/healthz/"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED, ids=" ".join)
async def test_nothing_is_open_without_a_key(proxy: StartProxy, agent: Agent, method: str, path: str) -> None:
    front = await proxy(api_key=(ADA,), model={"demo": ""})
    for headers in ({}, bearer(BOB)):
        received = await front.request(method, path, headers=headers)
        assert received.status == 401, headers
        assert received.headers["WWW-Authenticate"].startswith("Bearer ")
        assert received.headers["x-should-retry"] == "false"
    with_key = await front.request(method, path, headers=bearer(ADA))
    assert with_key.status != 401
    assert agent.exchanges == [] or method in ("GET", "HEAD")


async def test_health_needs_none(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(api_key=(ADA,))
    assert [(await front.get(path)).status for path in ("/healthz", "/readyz", "/%72eadyz")] == [200, 200, 200]


async def test_a_preflight_needs_none_and_the_call_itself_can_be_read(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=(ADA,), cors=PAGE)
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = await front.request("OPTIONS", CHAT, headers=asks)
    assert (preflight.status, preflight.headers["Access-Control-Allow-Headers"]) == (204, "authorization")
    refused = await front.post(chat_body(), headers={"Origin": PAGE})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, PAGE)


# In which words


async def test_no_key_is_a_401_as_openai_words_it(proxy: StartProxy) -> None:
    received = await (await proxy(api_key=(ADA,))).chat()
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"], error["param"]) == (401, "invalid_request_error", None, None)
    assert error["message"].startswith("You didn't provide an API key.")
    assert received.headers["WWW-Authenticate"] == 'Bearer realm="oaicompat-proxy"'


@pytest.mark.parametrize("value", ["Bearer", "Basic YTpi", ADA, "Bearer:x", "", "x" * 4000])
async def test_what_is_no_key_counts_as_none(proxy: StartProxy, value: str) -> None:
    received = await (await proxy(api_key=(ADA,))).post(chat_body(), headers={"Authorization": value})
    error = check_error_body(received.body)
    assert (received.status, error["code"]) == (401, None)
    assert error["message"].startswith("You didn't provide an API key.")


async def test_a_wrong_key_is_a_401_as_openai_words_it_and_is_not_shown(proxy: StartProxy) -> None:
    received = await (await proxy(api_key=(ADA,))).post(chat_body(), headers=bearer(BOB))
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"]) == (401, "invalid_request_error", "invalid_api_key")
    assert error["message"].startswith("Incorrect API key provided")
    assert "error=" in received.headers["WWW-Authenticate"]
    assert "77aa" not in f"{received.body!r} {received.headers}"


async def test_a_key_of_any_bytes_breaks_nothing(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    raw = b"k\xe9y\xff"
    front = await proxy(api_key=(raw.decode("utf-8", "surrogateescape"),))
    for key, status in ((raw, b"200"), (b"k\xe9y\xfe", b"401"), ("kéyÿ".encode(), b"401")):
        line = await front.dial()
        body = chat_body()
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n"
        await line.send(head % (CHAT.encode(), len(body), key) + body)
        assert (await line.read_until(b"\r\n")).split()[1] == status
        await line.close()


async def test_the_answer_does_not_wait_for_the_body(proxy: StartProxy) -> None:
    """A body of a caller without a key is not read."""
    front = await proxy(api_key=(ADA,), body_timeout=60)
    line = await front.dial()
    await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
    status, headers = await line.read_head()
    assert (status, headers["connection"]) == (401, "close")
    await line.close()


# Which models


async def test_a_key_sees_and_uses_the_models_it_may(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = keys_file(tmp_path, ada=f'{ADA}\nmodels = ["gpt-*"]', bob=BOB)
    front = await proxy(api_keys_file=file, model={"gpt-4o": "", "gpt-5": "x", "secret": "y"})
    listed = {
        key: set(re.findall(r'"id":"([^"]+)"', (await get(front, "/v1/models", **bearer(key))).body.decode()))
        for key in (ADA, BOB)
    }
    assert listed == {ADA: {"gpt-4o", "gpt-5"}, BOB: {"gpt-4o", "gpt-5", "secret", "default"}}
    for model, status in (("gpt-4o", 200), ("secret", 404), ("default", 404), (None, 404), ("nope", 404)):
        body = chat_body(model=model)
        for path in (CHAT, COMPLETIONS):
            received = await front.post(body if path == CHAT else _prompt(model), path=path, headers=bearer(ADA))
            assert received.status == status, (path, model)
    assert len(agent.runs) == 2


def _prompt(model: str | None) -> bytes:
    return chat_body(model=model, prompt="Hi")


async def test_a_model_that_is_not_allowed_looks_like_one_that_is_not_there(
    proxy: StartProxy, agent: Agent, tmp_path: Path
) -> None:
    file = keys_file(tmp_path, ada=f'{ADA}\nmodels = ["gpt-4o"]')
    front = await proxy(api_keys_file=file, model={"gpt-4o": "", "secret": ""})
    bodies = [
        (await front.post(chat_body(model=model), headers=bearer(ADA))).body.replace(model.encode(), b"NAME")
        for model in ("secret", "nothing")
    ]
    assert bodies[0] == bodies[1]
    assert check_error_body(bodies[0])["code"] == "model_not_found"
    assert "does not exist or you do not have access to it" in check_error_body(bodies[0])["message"]
    found = [(await get(front, f"/v1/models/{model}", **bearer(ADA))).status for model in ("gpt-4o", "secret", "nope")]
    assert found == [200, 404, 404]


# The file changes while the proxy runs


async def test_a_key_is_valid_and_not_valid_any_more_without_a_restart(
    proxy: StartProxy, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "CHECK_INTERVAL", 0.01)
    agent.plays(run("Hello"))
    front = await proxy(api_keys_file=keys_file(tmp_path, ada=ADA))

    async def statuses() -> list[int]:
        await asyncio.sleep(0.02)
        return [(await front.post(chat_body(), headers=bearer(key))).status for key in (ADA, BOB)]

    assert await statuses() == [200, 401]
    keys_file(tmp_path, ada=ADA, bob=BOB)
    assert await statuses() == [200, 200]
    (tmp_path / "keys.toml").write_text("[keys.")
    assert await statuses() == [200, 200]
    keys_file(tmp_path, bob=BOB)
    assert await statuses() == [401, 200]


# Whose sessions


async def test_sessions_are_kept_apart_by_name(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_keys_file=keys_file(tmp_path, ada=ADA, bob=BOB))
    for key in (ADA, BOB, ADA):
        received = await front.post(chat_body(), headers={**bearer(key), "X-Session-Id": "harbour"})
        assert check_stream(received.body, include_usage=False).text == "Hello"
    ada, bob, again = (each.session for each in agent.runs)
    agent.kept_sessions |= {ada, bob}
    assert ada == again != bob


async def test_a_caller_is_the_same_however_the_key_is_sent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=(ADA,))
    for headers in (bearer(ADA), {"Authorization": f"bearer   {ADA}"}, {"x-api-key": ADA}):
        assert (await front.post(chat_body(), headers={**headers, "X-Session-Id": "harbour"})).status == 200
    sessions = {each.session for each in agent.runs}
    agent.kept_sessions |= sessions
    assert len(sessions) == 1


# What is logged


@pytest.mark.parametrize(("key", "name"), [(ADA, "ada"), (BOB, "-"), ("", "-")])
async def test_the_access_log_has_the_keys_name(
    proxy: StartProxy, agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, name: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_keys_file=keys_file(tmp_path, ada=ADA))
    with caplog.at_level(logging.INFO, logger=NAME):
        await front.post(chat_body(), headers=bearer(key), path="/v1/nope")
        line = await line_of(caplog)
    assert f" 127.0.0.1 {name} POST /v1/* " in line
    assert key not in line or not key


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), ["203.0.113.9"], "127.0.0.1"),
        (("127.0.0.1",), ["203.0.113.9"], "203.0.113.9"),
        (("127.0.0.1",), ["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        (("127.0.0.1", "203.0.113.0/24"), ["198.51.100.7", "203.0.113.9"], "198.51.100.7"),
        (("127.0.0.1",), ["evil\tPOST"], "127.0.0.1"),
    ],
)
async def test_the_access_log_trusts_the_configured_proxies(
    proxy: StartProxy,
    agent: Agent,
    caplog: pytest.LogCaptureFixture,
    trusted: tuple[str, ...],
    forwarded: list[str],
    client: str,
) -> None:
    front = await proxy(trusted_proxy=trusted, model={"demo": ""})
    with caplog.at_level(logging.INFO, logger=NAME):
        line = await front.dial()
        await line.send(
            b"GET /v1/models/demo HTTP/1.1\r\nHost: localhost\r\n"
            + b"".join(b"X-Forwarded-For: %s\r\n" % each.encode() for each in forwarded)
            + b"\r\n"
        )
        assert (await line.read_head())[0] == 200
        logged = await line_of(caplog)
    await line.close()
    assert f" {client} - GET " in logged


# Headers for the gateway


async def authorizations(agent: Agent) -> list[str | None]:
    """The `Authorization` of all calls but the proxy's own one, which finds the method that closes sessions."""
    await agent.until(lambda: agent.closed_sessions or not agent.runs)
    mine = [each for each in agent.exchanges if not each.path.startswith("/events")]
    return [each.headers.get("authorization") for each in mine]


@pytest.mark.parametrize("token", ["", "t0ken"])
async def test_the_clients_key_is_not_sent_to_the_gateway(proxy: StartProxy, agent: Agent, token: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=(ADA,), upstream_token=token)
    for headers in (bearer(ADA), {"x-api-key": ADA}):
        assert (await front.post(chat_body(), headers=headers)).status == 200
    assert set(await authorizations(agent)) == {f"Bearer {token}" if token else None}
    assert ADA not in str([each.headers for each in agent.exchanges])


@pytest.mark.parametrize("keys", [(), (ADA,)])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_it_is_if_that_is_said_and_instead_of_the_token(
    proxy: StartProxy, agent: Agent, keys: tuple[str, ...], path: str
) -> None:
    """For the run, and for closing its session: the session may be this client's alone."""
    agent.plays(run("Hello"))
    front = await proxy(api_key=keys, upstream_token="t0ken", pass_authorization=True)
    assert (await front.post(chat_body(prompt="Hi"), path=path, headers=bearer(ADA))).status == 200
    assert set(await authorizations(agent)) == {f"Bearer {ADA}"}
    assert {"/send", "/close"} <= {each.path for each in agent.exchanges}


async def test_a_client_without_one_does_not_get_the_token_instead(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(upstream_token="t0ken", pass_authorization=True)
    assert (await front.chat()).status == 200
    assert "Bearer t0ken" not in await authorizations(agent)


async def test_bytes_of_a_header_arrive_as_they_were_sent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(pass_authorization=True)
    line = await front.dial()
    body = chat_body()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % len(body)
    await line.send(head + b"Authorization: Bearer k\xe9\xc3\xa9\r\n\r\n" + body)
    assert (await line.read_head())[0] == 200
    await line.close()
    assert agent.runs[0].headers["authorization"].encode("latin-1") == b"Bearer k\xe9\xc3\xa9"


async def test_lists_of_models_are_asked_for_with_our_token(proxy: StartProxy, agent: Agent) -> None:
    """They are kept for everybody."""
    agent.replies("/invoke", answer({"apps": []}))
    front = await proxy(upstream_token="t0ken", pass_authorization=True)
    await get(front, "/v1/models", **bearer(ADA))
    assert {"Bearer t0ken"} == set(await authorizations(agent))


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (403, "permission_denied")])
async def test_the_gateways_refusal_of_a_clients_key_is_the_clients(
    proxy: StartProxy, agent: Agent, status: int, code: str
) -> None:
    agent.replies("/send", answer({"error": f"no {ADA}"}, status))
    passing, ours = await proxy(pass_authorization=True), await proxy(upstream_token="t0ken")
    received = await passing.post(chat_body(), headers=bearer(ADA))
    assert (received.status, check_error_body(received.body)["code"]) == (status, code)
    assert ADA.encode() not in received.body
    received = await ours.post(chat_body(), headers=bearer(ADA))
    assert (received.status, check_error_body(received.body)["code"]) == (502, "upstream_refused")


async def test_the_token_is_never_shown_to_a_client(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(upstream_token="t0ken")
    agent.replies("/send", *(Reply([], status=status) for status in (401, 500)), Reply([*OPENING, "cut"]))
    received = [await front.chat() for _ in range(3)]
    assert "t0ken" not in str([(each.body, each.headers) for each in received])
