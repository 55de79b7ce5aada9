"""The headers of every response, and the permissions of browsers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from oaicompat_proxy.server.access.api_keys import new_entry
from oaicompat_proxy.server.http.headers import EXPOSED
from tests.support.conformance import check_body, check_error_body
from tests.support.proxy import CHAT, Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, answer, closing, failure, run, text

COMPLETIONS = "/v1/completions"
MODELS = "/v1/models"
PAGE = "https://chat.example"
OTHER_PAGE = "https://evil.example"
LOCAL_PAGE = "http://localhost:3000"

GIVEN_ID = re.compile(r"req_[0-9a-f]{32}")

SDK_HEADERS = [
    "authorization",
    "content-type",
    "openai-organization",
    "openai-project",
    "x-session-id",
    "x-stainless-arch",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
]
"""What OpenAI's SDK sends from a page, as a browser asks for it."""


@dataclass(frozen=True)
class Asked:
    """A request, and the status of its answer."""

    status: int
    method: str
    path: str
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


ANSWERS = [
    Asked(200, "POST", CHAT, chat_body()),
    Asked(200, "POST", CHAT, chat_body(stream=False)),
    Asked(200, "POST", COMPLETIONS, b'{"prompt": "Hi", "stream": true}'),
    Asked(200, "POST", COMPLETIONS, b'{"prompt": "Hi"}'),
    Asked(400, "POST", CHAT, b"{"),
    Asked(400, "POST", CHAT, chat_body(n=2)),
    Asked(400, "POST", COMPLETIONS, b"{}"),
    Asked(404, "POST", CHAT, chat_body(model="no:such")),
    Asked(413, "POST", CHAT, b"x" * 5000),
    Asked(502, "POST", CHAT, chat_body("fail")),
    Asked(502, "POST", CHAT, chat_body("fail", stream=False)),
    Asked(200, "GET", MODELS),
    Asked(200, "GET", f"{MODELS}/default"),
    Asked(404, "GET", f"{MODELS}/nobody"),
    Asked(200, "HEAD", MODELS),
    Asked(405, "GET", CHAT),
    Asked(405, "HEAD", CHAT),
    Asked(204, "OPTIONS", CHAT),
    Asked(404, "GET", "/"),
    Asked(404, "OPTIONS", "/v1/nothing"),
    Asked(200, "GET", "/healthz"),
    Asked(200, "GET", "/readyz"),
]


@pytest.fixture
def talking(agent: Agent) -> Agent:
    """Answers with a greeting, or fails if a test sets it; has two apps."""
    from tests.support.scripted_gateway import Exchange, Reply

    def reply(exchange: Exchange) -> Reply:
        return Reply([*OPENING, failure("Model exploded")] if exchange.prompt == "fail" else run("Hello"))

    agent.replies("/send", reply)
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}, {"id": "crow"}]}))
    return agent


async def ask(front: Proxy, asked: Asked, **headers: str) -> Received:
    received = await front.request(asked.method, asked.path, data=asked.body, headers=headers)
    assert received.status == asked.status
    return received


def only(received: Received, name: str) -> str:
    """The value of a header that must be there once."""
    (value,) = received.headers.getall(name)
    return value


# Which request it was


@pytest.mark.parametrize("asked", ANSWERS, ids=str)
async def test_every_answer_has_the_id_the_time_and_the_version(
    proxy: StartProxy, talking: Agent, asked: Asked
) -> None:
    received = await ask(await proxy(max_body=4000), asked)
    assert GIVEN_ID.fullmatch(only(received, "x-request-id"))
    assert only(received, "openai-processing-ms").isdecimal()
    assert only(received, "openai-version") == "2020-10-01"
    assert "aiohttp" not in only(received, "Server")


@pytest.mark.parametrize("asked", ANSWERS, ids=str)
async def test_every_answer_returns_the_clients_own_id(proxy: StartProxy, talking: Agent, asked: Asked) -> None:
    received = await ask(await proxy(max_body=4000), asked, **{"X-Request-ID": "mine-1"})
    assert only(received, "x-request-id") == "mine-1"


@pytest.mark.parametrize(
    "own",
    [
        "1",
        "req_0123456789abcdef",
        "7b1f0a52-5b6c-4a57-9d0e-2c1f5f0c3c55",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "a.b:c/d+e=f@g",
        "x" * 128,
    ],
)
async def test_a_sane_id_of_the_clients_is_kept(proxy: StartProxy, own: str) -> None:
    received = await (await proxy()).request("GET", "/healthz", headers={"x-request-id": own})
    assert only(received, "x-request-id") == own


@pytest.mark.slow
@pytest.mark.parametrize(
    "own",
    [
        "",
        " ",
        "two words",
        "tab\there",
        "semi;colon",
        "<script>",
        '"quoted"',
        "%0d%0aSet-Cookie: a=b",
        "größe",
        "\u2028",
        "x" * 129,
        "x" * 8000,
    ],
    ids=lambda own: repr(own[:20]),
)
async def test_an_id_that_is_not_sane_is_replaced(proxy: StartProxy, own: str) -> None:
    received = await (await proxy()).request("GET", "/healthz", headers={"x-request-id": own})
    assert received.status == 200
    assert GIVEN_ID.fullmatch(only(received, "x-request-id"))


@pytest.mark.parametrize(
    "own",
    [
        b"a\r\n b",
        b"a\r\n\tSet-Cookie: evil=1",
        b"a\rSet-Cookie: evil=1",
        b"a\nSet-Cookie: evil=1",
        b"a\x00b",
        b"a\x7fb",
        b"\xff\xfe",
        b"x" * 10_240,
    ],
    ids=lambda own: repr(own[:20]),
)
async def test_an_id_that_breaks_lines_or_bounds_is_never_sent_back(proxy: StartProxy, own: bytes) -> None:
    """Some are no HTTP: then the request is refused, in OpenAI's words too."""
    line = await (await proxy()).dial()
    await line.send(
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-request-id: " + own + b"\r\n\r\n"
    )
    status, headers = await line.read_head()
    body = await line.read_to_end()
    assert GIVEN_ID.fullmatch(headers["x-request-id"])
    assert "set-cookie" not in headers
    assert len(body) == int(headers["content-length"])
    assert status == 200 or (status == 400 and check_error_body(body)["type"] == "invalid_request_error")


async def test_of_two_ids_one_is_kept(proxy: StartProxy) -> None:
    line = await (await proxy()).dial()
    await line.send(
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: a\r\nx-request-id: b\r\n\r\n"
    )
    received = await line.read_to_end()
    assert re.findall(rb"x-request-id: (.*)\r\n", received) == [b"a"]


async def test_ids_that_are_given_differ(proxy: StartProxy) -> None:
    front = await proxy()
    given = [only(await front.get("/healthz"), "x-request-id") for _ in range(20)]
    assert len(set(given)) == len(given)


async def test_a_stream_that_commits_before_the_first_word_carries_them_too(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(first_event_wait=0.05)).dial()
    await line.post(chat_body(), headers=["x-request-id: mine-2"])
    status, headers = await line.read_head()
    gate.set()
    await line.read_until(b"data: [DONE]\n\n")
    assert (status, headers["x-request-id"], headers["openai-version"]) == (200, "mine-2", "2020-10-01")
    assert 40 <= int(headers["openai-processing-ms"]) < 10_000, "as long as the wait for the first word"


async def test_a_whole_answer_that_is_kept_warm_carries_them_too(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(json_keep_alive=0.05)).dial()
    await line.post(chat_body(stream=False), headers=["x-request-id: mine-3"])
    _, headers = await line.read_head()
    gate.set()
    assert check_body((await line.read_chunks()).lstrip()).text == "Hello"
    assert (headers["x-request-id"], headers["openai-version"]) == ("mine-3", "2020-10-01")
    assert 40 <= int(headers["openai-processing-ms"]) < 10_000


async def test_an_expectation_that_nobody_can_meet_carries_them_too(proxy: StartProxy, agent: Agent) -> None:
    line = await (await proxy()).dial()
    await line.post(chat_body(), headers=["Expect: a-miracle", "Connection: close"])
    status, headers = await line.read_head()
    error = check_error_body(await line.read_to_end())
    assert (status, error["type"], agent.exchanges) == (417, "invalid_request_error", [])
    assert GIVEN_ID.fullmatch(headers["x-request-id"])


@pytest.mark.parametrize("stream", [True, False])
async def test_the_official_client_finds_the_id_of_success_and_failure(
    proxy: StartProxy, talking: Agent, stream: bool
) -> None:
    front = await proxy()
    async with openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", max_retries=0) as sdk:
        completion = await sdk.chat.completions.create(model="owl", messages=[{"role": "user", "content": "Hi"}])
        assert GIVEN_ID.fullmatch(completion._request_id or "")
        with pytest.raises(openai.InternalServerError) as raised:
            await sdk.chat.completions.create(
                model="owl", messages=[{"role": "user", "content": "fail"}], stream=stream
            )
    assert GIVEN_ID.fullmatch(raised.value.request_id or "")


# Browsers


def names(header: str) -> set[str]:
    return {each.strip().lower() for each in header.split(",")}


def cors_headers(received: Received) -> set[str]:
    return {name.lower() for name in received.headers if name.lower().startswith("access-control-")}


async def preflight(front: Proxy, origin: str, path: str = CHAT, method: str = "POST") -> Received:
    """As a browser asks before OpenAI's SDK may call."""
    return await front.request(
        "OPTIONS",
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(SDK_HEADERS),
        },
    )


def browser_may_call(received: Received, origin: str, method: str) -> bool:
    """The Fetch standard's CORS-preflight check, for a request without credentials."""
    allowed = received.headers.get("Access-Control-Allow-Methods", "")
    return (
        200 <= received.status < 300
        and browser_may_read(received, origin)
        and (method in ("GET", "HEAD", "POST") or method.lower() in names(allowed))
        and {*SDK_HEADERS} <= names(received.headers.get("Access-Control-Allow-Headers", ""))
    )


def browser_may_read(received: Received, origin: str) -> bool:
    """The Fetch standard's CORS check: one value, which is the origin or a star."""
    return received.headers.getall("Access-Control-Allow-Origin", []) in ([origin], ["*"])


@pytest.mark.parametrize("asked", ANSWERS, ids=str)
async def test_by_default_no_page_may_read_anything(proxy: StartProxy, talking: Agent, asked: Asked) -> None:
    """Also one of this machine, which may call."""
    received = await ask(await proxy(max_body=4000), asked, Origin=LOCAL_PAGE)
    assert cors_headers(received) == set()
    assert "Vary" not in received.headers


@pytest.mark.parametrize(("page", "keys", "status"), [(LOCAL_PAGE, (), 204), (PAGE, ("k",), 204), (PAGE, (), 403)])
async def test_by_default_a_preflight_allows_nothing(
    proxy: StartProxy, page: str, keys: tuple[str, ...], status: int
) -> None:
    received = await preflight(await proxy(api_key=keys), page)
    assert (received.status, cors_headers(received)) == (status, set())
    assert not browser_may_call(received, page, "POST")


@pytest.mark.slow
@pytest.mark.parametrize("asked", ANSWERS, ids=str)
@pytest.mark.parametrize("cors", ["*", PAGE, f"https://first.example,{PAGE}", f"https://first.example, {PAGE} "])
async def test_an_allowed_page_may_read_every_answer_and_what_helps_it(
    proxy: StartProxy, talking: Agent, asked: Asked, cors: str
) -> None:
    received = await ask(await proxy(cors=cors, max_body=4000), asked, Origin=PAGE)
    assert browser_may_read(received, PAGE)
    exposed = names(only(received, "Access-Control-Expose-Headers"))
    assert {"x-request-id", "openai-processing-ms", "retry-after", "x-should-retry"} <= exposed
    assert "Access-Control-Allow-Credentials" not in received.headers


@pytest.mark.parametrize("asked", ANSWERS, ids=str)
async def test_another_page_may_read_nothing(proxy: StartProxy, talking: Agent, asked: Asked) -> None:
    front = await proxy(cors=PAGE, max_body=4000, api_key=("k",))
    received = await ask(front, asked, Origin=OTHER_PAGE, Authorization="Bearer k")
    assert cors_headers(received) == set()
    assert names(only(received, "Vary")) == {"origin"}


async def test_for_a_list_the_answer_depends_on_the_origin_even_without_one(proxy: StartProxy) -> None:
    received = await (await proxy(cors=PAGE)).get("/healthz")
    assert (cors_headers(received), only(received, "Vary")) == (set(), "Origin")


async def test_for_all_pages_the_answer_depends_on_nothing(proxy: StartProxy) -> None:
    received = await (await proxy(cors="*")).get("/healthz")
    assert (received.headers["Access-Control-Allow-Origin"], "Vary" in received.headers) == ("*", False)


@pytest.mark.parametrize(
    "near", ["https://chat.example.evil.example", "http://chat.example", "https://chat", "null", "*"]
)
async def test_a_page_of_nearly_the_same_address_is_another(proxy: StartProxy, near: str) -> None:
    received = await preflight(await proxy(cors=PAGE), near)
    assert cors_headers(received) == set()


@pytest.mark.parametrize(
    ("path", "method"), [(CHAT, "POST"), (COMPLETIONS, "POST"), (MODELS, "GET"), (f"{MODELS}/a/b", "GET")]
)
@pytest.mark.parametrize("cors", ["*", PAGE])
async def test_a_browsers_sdk_may_call_every_endpoint_of_openais(
    proxy: StartProxy, agent: Agent, cors: str, path: str, method: str
) -> None:
    received = await preflight(await proxy(cors=cors), PAGE, path, method)
    assert browser_may_call(received, PAGE, method)
    assert method.lower() in names(only(received, "Access-Control-Allow-Methods"))
    assert 0 < int(only(received, "Access-Control-Max-Age")) <= 86_400
    assert "Access-Control-Allow-Credentials" not in received.headers
    assert (received.body, agent.exchanges) == (b"", [])


async def test_a_page_that_calls_what_is_not_served_can_read_why(proxy: StartProxy) -> None:
    """Without a preflight that succeeds its SDK would say no more than `Connection error`."""
    front = await proxy(cors=PAGE)
    assert browser_may_call(await preflight(front, PAGE, "/v1/embeddings"), PAGE, "POST")
    received = await front.request("POST", "/v1/embeddings", data=b"{}", headers={"Origin": PAGE})
    assert browser_may_read(received, PAGE)
    assert check_error_body(received.body)["message"].startswith("Invalid URL")


async def test_a_preflight_that_names_no_headers_gets_none(proxy: StartProxy) -> None:
    received = await (await proxy(cors="*")).request("OPTIONS", CHAT, headers={"Origin": PAGE})
    assert received.status == 204
    assert "Access-Control-Allow-Headers" not in received.headers


async def test_the_headers_that_are_exposed_are_those_that_are_sent(
    proxy: StartProxy, agent: Agent, tmp_path: Path
) -> None:
    agent.plays(run("Hello"))
    keys = tmp_path / "keys.toml"
    keys.write_text(new_entry("k", "k") + "requests_per_minute = 2\nbudget = { tokens_per_day = 99 }\n")
    front = await proxy(api_keys_file=str(keys))
    key = {"Authorization": "Bearer k"}
    messages = json.dumps({**json.loads(chat_body()), "max_tokens": 9}).encode()
    answers = [await front.post(chat_body(), headers=key), await front.post(messages, path="/v1/messages", headers=key)]
    answers += [await front.post(chat_body(), headers=key), await front.request("DELETE", CHAT, headers=key)]
    answers += [await front.chat()]
    assert [received.status for received in answers] == [200, 200, 429, 405, 401]
    assert names(EXPOSED) == {name.lower() for received in answers for name in received.headers} & names(EXPOSED)


# HEAD and OPTIONS


ROUTES: list[tuple[str, set[str]]] = [
    (CHAT, {"POST"}),
    (COMPLETIONS, {"POST"}),
    (MODELS, {"GET", "HEAD"}),
    (f"{MODELS}/default", {"GET", "HEAD"}),
    ("/healthz", {"GET", "HEAD"}),
    ("/readyz", {"GET", "HEAD"}),
]


@pytest.mark.parametrize(("path", "methods"), ROUTES)
async def test_options_tell_what_may_be_done(proxy: StartProxy, talking: Agent, path: str, methods: set[str]) -> None:
    received = await (await proxy()).request("OPTIONS", path)
    assert (received.status, received.body) == (204, b"")
    assert {each.strip() for each in only(received, "Allow").split(",")} == {*methods, "OPTIONS"}
    assert "Content-Type" not in received.headers


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/embeddings", "/v2/chat/completions"])
async def test_options_of_an_unknown_address_are_not_found(proxy: StartProxy, path: str) -> None:
    received = await (await proxy()).request("OPTIONS", path)
    assert (received.status, check_error_body(received.body)["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize(("path", "methods"), ROUTES)
async def test_head_is_get_without_its_body(proxy: StartProxy, talking: Agent, path: str, methods: set[str]) -> None:
    front = await proxy()
    head, got = [await front.request(method, path) for method in ("HEAD", "GET")]
    assert head.body == b""
    assert head.status == got.status == (200 if "GET" in methods else 405)
    assert only(head, "Content-Type") == only(got, "Content-Type")
    assert only(head, "Content-Length") == only(got, "Content-Length") == str(len(got.body))


async def test_head_does_not_leave_a_body_on_the_connection(proxy: StartProxy) -> None:
    """A body behind HEAD would be read as the next answer."""
    line = await (await proxy()).dial()
    for path in ("/v1/nothing", CHAT, "/healthz"):
        await line.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await line.read_head()
    await line.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    status, _ = await line.read_head()
    assert (status, json.loads(await line.read_to_end())["status"]) == (200, "ok")


# What the bodies say they are


def is_stream(asked: Asked) -> bool:
    return asked.status == 200 and asked.method == "POST" and b'"stream": true' in (asked.body or b"")


KINDS: list[tuple[Callable[[Asked], bool], str]] = [
    (is_stream, "text/event-stream; charset=utf-8"),
    (lambda asked: asked.status == 204, ""),
    (lambda asked: asked.path.endswith("z"), "application/json; charset=utf-8"),
    (lambda asked: True, "application/json"),
]


@pytest.mark.parametrize("asked", ANSWERS, ids=str)
async def test_every_body_has_its_exact_type_and_length(proxy: StartProxy, talking: Agent, asked: Asked) -> None:
    received = await ask(await proxy(max_body=4000), asked)
    expected = next(kind for applies, kind in KINDS if applies(asked))
    assert received.headers.get("Content-Type", "") == expected
    if not is_stream(asked) and asked.method != "HEAD" and asked.status != 204:
        assert only(received, "Content-Length") == str(len(received.body))
    if asked.status >= 400 and asked.method != "HEAD":
        check_error_body(received.body)
