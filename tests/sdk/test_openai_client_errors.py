"""Each error class of the official client, raised by the situation that it is for; and no run is repeated by it."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.server.sessions.run_limiter import RunLimiter, RunPermit
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, Step, answer, closing, failure, run, text

Client = openai.OpenAI | openai.AsyncOpenAI
Call = Callable[[Any], Any]
"""What is done with a client; what it returns is awaited and read to its end."""

QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
KINDS = ["blocking", "async"]


def create(**fields: Any) -> Call:
    return lambda client: client.chat.completions.create(**{"model": "owl", "messages": QUESTION, **fields})


async def outcome(kind: str, base: str, call: Call, **how: Any) -> tuple[Exception | None, int]:
    """The client's exception, if any, and the number of its requests."""
    requests: list[str] = []
    options: dict[str, Any] = {"base_url": base, "api_key": "k", "max_retries": 0, **how}
    if kind == "blocking":

        def count(request: httpx2.Request) -> None:
            requests.append(str(request.url))

        options["http_client"] = openai.DefaultHttpx2Client(event_hooks={"request": [count]})
        return await asyncio.to_thread(_block, options, call), len(requests)

    async def count_too(request: httpx2.Request) -> None:
        requests.append(str(request.url))

    options["http_client"] = openai.DefaultAsyncHttpx2Client(event_hooks={"request": [count_too]})
    async with openai.AsyncOpenAI(**options) as client:
        try:
            result = call(client)
            if inspect.isawaitable(result):
                result = await result
            if isinstance(result, openai.AsyncStream):
                async for _ in result:
                    pass
        except openai.OpenAIError as error:
            return error, len(requests)
    return None, len(requests)


def _block(options: dict[str, Any], call: Call) -> Exception | None:
    with openai.OpenAI(**options) as client:
        try:
            result = call(client)
            if isinstance(result, openai.Stream):
                for _ in result:
                    pass
        except openai.OpenAIError as error:
            return error
    return None


def base(front: Proxy) -> str:
    return f"{front.base}/v1"


@dataclass(frozen=True)
class Situation:
    """What happens, and the class that says so. `runs`: how many reach the agent."""

    name: str
    raised: type[openai.APIError]
    status: int
    code: str | None = None
    param: str | None = None
    call: Call = field(default_factory=create)
    steps: tuple[Step | list[bytes], ...] = (run("Hello"),)
    settings: dict[str, Any] = field(default_factory=dict)
    runs: int = 1

    def __str__(self) -> str:
        return self.name


def refused(name: str, raised: type[openai.APIError], status: int, call: Call, **more: Any) -> Situation:
    return Situation(name, raised, status, call=call, runs=0, **more)


def failing(message: str, raised: type[openai.APIError], status: int, code: str, call: Call | None = None) -> Situation:
    return Situation(message, raised, status, code, call=call or create(), steps=(OPENING, failure(message)))


REFUSED = [
    refused("two answers", openai.BadRequestError, 400, create(n=2), code="unsupported_value", param="n"),
    refused("no messages", openai.BadRequestError, 400, create(messages=[]), code="empty_array", param="messages"),
    refused(
        "log probabilities",
        openai.BadRequestError,
        400,
        create(logprobs=True),
        code="unsupported_parameter",
        param="logprobs",
    ),
    refused("a model that cannot be", openai.NotFoundError, 404, create(model="a:b"), code="model_not_found"),
    refused(
        "another endpoint", openai.NotFoundError, 404, lambda client: client.embeddings.create(model="owl", input="Hi")
    ),
    refused(
        "another prefix",
        openai.NotFoundError,
        404,
        lambda client: client.post("/../chat/completions", cast_to=object, body={}),
        code="unknown_url",
    ),
    refused(
        "another method",
        openai.APIStatusError,
        405,
        lambda client: client.chat.completions.list(),
        code="method_not_supported",
    ),
    refused(
        "too much",
        openai.APIStatusError,
        413,
        create(messages=[{"role": "user", "content": "x" * 5000}]),
        code="request_too_large",
        settings={"max_body": 1000},
    ),
]
FAILING = [
    failing('Unknown app "owl". Available: a', openai.NotFoundError, 404, "model_not_found"),
    failing("429 Too many requests", openai.RateLimitError, 429, "rate_limit_exceeded"),
    failing("You exceeded your current quota", openai.RateLimitError, 429, "insufficient_quota"),
    failing("prompt is too long", openai.BadRequestError, 400, "context_length_exceeded"),
    failing("Model exploded", openai.InternalServerError, 502, "agent_error"),
    failing("Overloaded", openai.InternalServerError, 503, "server_is_overloaded"),
    failing("Request timed out", openai.InternalServerError, 504, "agent_timeout"),
    failing("Overloaded", openai.InternalServerError, 503, "server_is_overloaded", create(stream=True)),
    failing(
        "Overloaded",
        openai.InternalServerError,
        503,
        "server_is_overloaded",
        lambda client: client.completions.create(model="owl", prompt="Hi"),
    ),
    Situation("cut", openai.InternalServerError, 502, "upstream_interrupted", steps=(OPENING, text("Half"), "cut")),
    Situation(
        "silence",
        openai.InternalServerError,
        504,
        "upstream_timeout",
        steps=(OPENING, "stall"),
        settings={"silence_timeout": 0.1},
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", [*REFUSED, *FAILING], ids=str)
async def test_a_situation_raises_its_class(proxy: StartProxy, agent: Agent, situation: Situation, kind: str) -> None:
    agent.plays(*situation.steps)
    front = await proxy(**situation.settings)
    error, _ = await outcome(kind, base(front), situation.call)
    assert isinstance(error, openai.APIStatusError)
    assert (type(error), error.status_code) == (situation.raised, situation.status)
    assert (error.code, error.param) == (situation.code, situation.param)
    assert error.request_id
    assert isinstance(error.body, dict)
    assert error.body["message"] in str(error)
    assert len(agent.runs) == situation.runs


# Retries


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", [*REFUSED, *FAILING], ids=str)
async def test_a_client_that_would_retry_asks_once(
    proxy: StartProxy, agent: Agent, situation: Situation, kind: str
) -> None:
    """By itself it repeats 408, 409, 429 and 5xx: a run that may have acted is not to be repeated."""
    agent.plays(*situation.steps)
    front = await proxy(**situation.settings)
    error, requests = await outcome(kind, base(front), situation.call, max_retries=2)
    assert isinstance(error, situation.raised)
    assert (requests, len(agent.runs)) == (1, situation.runs)


def closed_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_never_reached_the_agent_is_tried_again(proxy: StartProxy, kind: str) -> None:
    front = await proxy(upstream=closed_port())
    error, requests = await outcome(kind, base(front), create(), max_retries=1)
    assert isinstance(error, openai.InternalServerError)
    assert (error.code, requests) == ("upstream_unreachable", 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_busy_session_is_a_conflict_that_may_be_tried_again(proxy: StartProxy, agent: Agent, kind: str) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(session_wait=0.01)
    named = {"X-Session-Id": "mine"}
    first = asyncio.create_task(outcome("async", base(front), create(extra_headers=named)))
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    error, _ = await outcome(kind, base(front), create(extra_headers=named))
    gate.set()
    assert (await first)[0] is None
    assert isinstance(error, openai.ConflictError)
    assert (error.code, error.response.headers["x-should-retry"]) == ("session_busy", "true")
    assert 0 < float(error.response.headers["retry-after"]) <= 60
    assert len(agent.runs) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [failure("Overloaded"), "cut", "reset"])
async def test_a_failure_in_mid_stream_raises_and_is_final(
    proxy: StartProxy, agent: Agent, ending: Step, kind: str
) -> None:
    agent.plays(OPENING, text("Let me"), ending)
    error, requests = await outcome(kind, base(await proxy()), create(stream=True), max_retries=2)
    assert type(error) is openai.APIError
    assert (requests, len(agent.runs)) == (1, 1)
    assert (error.type, error.code) in (
        ("server_error", "server_is_overloaded"),
        ("server_error", "upstream_interrupted"),
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_good_answer_is_asked_for_once(proxy: StartProxy, agent: Agent, kind: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    for stream in (True, False):
        assert await outcome(kind, base(front), create(stream=stream), max_retries=2) == (None, 1)
    assert len(agent.runs) == 2


# Keys and limits

KEYED: dict[str, Any] = {"api_key": ("k",)}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_key_is_an_authentication_error_and_asked_with_once(
    proxy: StartProxy, agent: Agent, kind: str
) -> None:
    front = await proxy(**KEYED)
    for call in (create(), lambda client: client.models.list()):
        error, requests = await outcome(kind, base(front), call, api_key="wrong", max_retries=2)
        assert isinstance(error, openai.AuthenticationError)
        assert (error.status_code, error.code, requests) == (401, "invalid_api_key", 1)
    assert agent.exchanges == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_right_key_is_let_in(proxy: StartProxy, agent: Agent, kind: str) -> None:
    agent.plays(run("Hello"))
    assert await outcome(kind, base(await proxy(**KEYED)), create(stream=True)) == (None, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_limit_is_a_rate_limit_error_that_is_tried_again_when_it_says(
    proxy: StartProxy, agent: Agent, kind: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**KEYED, requests_per_minute=1)
    assert await outcome(kind, base(front), create()) == (None, 1)
    error, _ = await outcome(kind, base(front), create())
    assert isinstance(error, openai.RateLimitError)
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    with openai.OpenAI(api_key="k") as client:
        wait = client._parse_retry_after_header(error.response.headers)
    assert wait == int(error.response.headers["retry-after-ms"]) / 1000
    assert len(agent.runs) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_slot_that_is_free_by_the_next_attempt_is_no_error_at_all(
    proxy: StartProxy, agent: Agent, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oaicompat_proxy.core.errors.Overloaded.retry_after", 0.2)
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(max_runs=1, queue_wait=0)
    first = asyncio.create_task(front.chat())
    await agent.until(lambda: agent.runs)
    acquire = RunLimiter.acquire

    async def acquire_or_go_on(self: RunLimiter, caller: Caller, size: int = 0) -> RunPermit:
        try:
            return await acquire(self, caller, size)
        except ProxyError:
            gate.set()
            raise

    monkeypatch.setattr(RunLimiter, "acquire", acquire_or_go_on)
    error, requests = await outcome(kind, base(front), create(), max_retries=2)
    assert error is None
    assert requests >= 2
    assert (await first).status == 200
    assert len(agent.runs) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "raised"), [(401, openai.AuthenticationError), (403, openai.PermissionDeniedError)])
async def test_a_refused_key_of_the_client_is_an_error_for_the_client(
    proxy: StartProxy, agent: Agent, kind: str, status: int, raised: type[Exception]
) -> None:
    agent.replies("/send", answer({"error": "no"}, status))
    error, requests = await outcome(kind, base(await proxy(pass_authorization=True)), create(), max_retries=2)
    assert type(error) is raised
    assert requests == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_the_key_may_not_use_is_not_found(
    proxy: StartProxy, agent: Agent, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[keys.ada]\nhash = "{hashlib.sha256(b"k").hexdigest()}"\nmodels = ["cat"]\n')
    error, _ = await outcome(kind, base(await proxy(api_keys_file=str(file))), create())
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "model_not_found"
    assert agent.runs == []


# The client's own patience


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_loses_patience_stops_the_run(
    proxy: StartProxy, agent: Agent, kind: str, stream: bool
) -> None:
    agent.plays(OPENING, "stall")
    error, _ = await outcome(kind, base(await proxy()), create(stream=stream), timeout=0.3)
    assert isinstance(error, openai.APITimeoutError)
    await agent.until(lambda: agent.runs[0].outcome == "left")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_is_not_there_is_no_connection(kind: str) -> None:
    error, requests = await outcome(kind, f"{closed_port()}/v1", create())
    assert type(error) is openai.APIConnectionError
    assert requests == 1


# What the helpers make of an end that is none


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("stop", "raised"),
    [
        ("max_tokens", openai.LengthFinishReasonError),
        ("content_filter", openai.ContentFilterFinishReasonError),
    ],
)
async def test_parsing_an_answer_that_was_cut_short_raises(
    proxy: StartProxy, agent: Agent, kind: str, stop: str, raised: type[Exception]
) -> None:
    agent.plays(run("{", stop=stop))
    front = await proxy()

    def parse(client: Any) -> Any:
        return client.chat.completions.parse(model="owl", messages=QUESTION)

    assert type((await outcome(kind, base(front), parse))[0]) is raised
    assert (await outcome(kind, base(front), create()))[0] is None, "only the helpers mind"
