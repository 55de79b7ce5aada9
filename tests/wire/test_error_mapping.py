"""The error that a client gets when the agent, its gateway or the way to it fails: before the commit and after it.

Each failure is played over sockets, and read by the raw wire, by the official client, and by the phrases that other
libraries search for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import openai
import pytest

from oaicompat_proxy.server.upstream.response_check import MAX_RETRY_AFTER
from tests.support.api_clients import CLIENTS, MESSAGES_CLIENT, ApiClient
from tests.support.conformance import check_error_body, check_stream
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, Reply, Step, answer, enveloped, failure, frame, run, text

QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]

KEY = "sk-proj-0123456789abcdefABCDEF"


@dataclass(frozen=True)
class Failure:
    """How a run fails, and the error that a client must get."""

    name: str
    steps: list[Step]
    status: int
    code: str | None
    kind: str = "server_error"
    raised: type[openai.APIStatusError] = openai.InternalServerError
    retry: str | None = "false"
    retry_after: str | None = None
    says: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def stream_failure(
    message: str,
    status: int,
    code: str,
    kind: str = "server_error",
    raised: type[openai.APIStatusError] = openai.InternalServerError,
    **more: Any,
) -> Failure:
    """A failure that is reported by an event of the stream."""
    return Failure(message[:40], [failure(message)], status, code, kind, raised, **{"says": message, **more})


def limited(message: str, kind: str = "requests") -> Failure:
    return stream_failure(message, 429, "rate_limit_exceeded", kind, openai.RateLimitError, retry_after="5")


def no_credit(message: str) -> Failure:
    return stream_failure(message, 429, "insufficient_quota", "insufficient_quota", openai.RateLimitError)


def bad(message: str, code: str) -> Failure:
    return stream_failure(message, 400, code, "invalid_request_error", openai.BadRequestError)


REPORTED = [
    limited("429 Too Many Requests"),
    limited("Rate limit reached for owl-1 in organization org-x on requests per min (RPM): Limit 3, Used 3"),
    limited("rate_limit_error: This request would exceed your account's rate limit"),
    no_credit("You exceeded your current quota, please check your plan and billing details."),
    no_credit("Your credit balance is too low to access the API."),
    no_credit("429 insufficient_quota"),
    bad(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001",
        "context_length_exceeded",
    ),
    bad("prompt is too long: 210000 tokens > 200000 maximum", "context_length_exceeded"),
    bad("Your input exceeds the context window of this model.", "context_length_exceeded"),
    bad("The response was filtered due to the prompt triggering our content management policy.", "content_filter"),
    bad("content_filter: the prompt was flagged", "content_filter"),
    stream_failure("Overloaded", 503, "server_is_overloaded"),
    stream_failure("529 overloaded_error", 503, "server_is_overloaded"),
    stream_failure("503 Service Unavailable", 503, "server_is_overloaded"),
    stream_failure("401 Incorrect API key provided", 502, "agent_unauthorized"),
    stream_failure("403 permission_denied", 502, "agent_unauthorized"),
    stream_failure("Request timed out.", 504, "agent_timeout"),
    stream_failure("context deadline exceeded", 504, "agent_timeout"),
    stream_failure("Cannot read properties of undefined (reading 'map')", 502, "agent_error"),
    stream_failure("Execution aborted", 502, "agent_aborted", says="ended from outside"),
    stream_failure(
        'Unknown app "owl". Available: secret-app',
        404,
        "model_not_found",
        "invalid_request_error",
        openai.NotFoundError,
        retry=None,
        says="The model `owl` does not exist or you do not have access to it.",
    ),
]
"""In the words that providers and gateways use."""

OTHERWISE = [
    Failure(
        "an execution that ends with an error",
        [frame("execution_end", executionId="e1", error={"name": "Error", "message": "429 Too many requests"})],
        429,
        "rate_limit_exceeded",
        "requests",
        openai.RateLimitError,
        retry_after="5",
    ),
    Failure(
        "an execution that was aborted",
        [frame("execution_end", executionId="e1", aborted=True)],
        502,
        "agent_aborted",
    ),
    Failure("the line is cut", ["cut"], 502, "upstream_interrupted"),
    Failure("the line is reset", ["reset"], 502, "upstream_interrupted"),
    Failure("the last word lacks", [], 502, "upstream_interrupted", says="incomplete"),
    Failure("no event", [b"data: {broken\n\n"], 502, "upstream_error"),
    Failure("silence", ["stall"], 504, "upstream_timeout", settings={"silence_timeout": 0.1}),
    Failure(
        "a tool that waits for a human",
        [frame("tool_confirmation_required", callId="c1", name="launch", input={})],
        502,
        "agent_error",
        says="'launch'",
    ),
]
FAILURES = REPORTED + OTHERWISE

MODEL_ERROR = Failure(
    "a model error that the agent did not survive",
    [
        frame("error", error={"name": "Error", "message": "Overloaded"}),
        frame("execution_end", executionId="e1", aborted=False),
        enveloped("execution_end", {}),
    ],
    503,
    "server_is_overloaded",
)


def check(error: dict[str, Any], expected: Failure) -> None:
    assert (error["type"], error["code"], error["param"]) == (expected.kind, expected.code, None)
    assert expected.says in error["message"]
    assert "Traceback" not in error["message"]


def sdk(front: Proxy, **how: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", **{"max_retries": 0, **how})


async def ask(front: Proxy, stream: bool, model: str = "owl") -> Received:
    return await front.chat(stream=stream, model=model)


# Before the commit


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("expected", [*FAILURES, MODEL_ERROR], ids=str)
async def test_an_early_failure_is_a_status(proxy: StartProxy, agent: Agent, expected: Failure, stream: bool) -> None:
    agent.plays(OPENING, *expected.steps)
    received = await ask(await proxy(**expected.settings), stream)
    check(check_error_body(received.body), expected)
    assert (received.status, received.headers["Content-Type"]) == (expected.status, "application/json")
    assert received.headers.get("x-should-retry") == expected.retry
    assert received.headers.get("retry-after") == expected.retry_after
    assert received.headers["Content-Length"] == str(len(received.body))
    assert received.headers["x-request-id"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("expected", FAILURES, ids=str)
async def test_the_official_client_raises_an_early_failure(
    proxy: StartProxy, agent: Agent, expected: Failure, stream: bool
) -> None:
    agent.plays(OPENING, *expected.steps)
    async with sdk(await proxy(**expected.settings)) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model="owl", messages=QUESTION, stream=stream)
    error = raised.value
    assert (type(error), error.status_code) == (expected.raised, expected.status)
    assert (error.code, error.type, error.param) == (expected.code, expected.kind, None)
    assert expected.says in str(error)


# After it


@pytest.mark.parametrize("expected", FAILURES, ids=str)
async def test_a_late_failure_is_the_last_frame(proxy: StartProxy, agent: Agent, expected: Failure) -> None:
    agent.plays(OPENING, text("Let me"), *expected.steps)
    received = await ask(await proxy(**expected.settings), True)
    answered = check_stream(received.body, include_usage=False)
    assert (received.status, answered.text, answered.finish_reason) == (200, "Let me", None)
    assert answered.error is not None
    check(answered.error, expected)


@pytest.mark.parametrize("expected", FAILURES, ids=str)
async def test_after_the_first_word_a_whole_answer_still_has_its_status(
    proxy: StartProxy, agent: Agent, expected: Failure
) -> None:
    agent.plays(OPENING, text("Let me"), *expected.steps)
    received = await ask(await proxy(**expected.settings), False)
    check(check_error_body(received.body), expected)
    assert received.status == expected.status
    assert b"Let me" not in received.body


@pytest.mark.parametrize("expected", FAILURES, ids=str)
async def test_the_official_client_raises_a_late_failure(proxy: StartProxy, agent: Agent, expected: Failure) -> None:
    agent.plays(OPENING, text("Let me"), *expected.steps)
    contents: list[str | None] = []

    async def read(stream: AsyncIterator[Any]) -> None:
        async for chunk in stream:
            contents.extend([chunk.choices[0].delta.content])

    async with sdk(await proxy(**expected.settings)) as client:
        stream = await client.chat.completions.create(model="owl", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError) as raised:
            await read(stream)
    error = raised.value
    assert contents == ["", "Let me"]
    assert (error.code, error.type, error.param) == (expected.code, expected.kind, None)
    assert expected.says in error.message


# The way to the agent


async def closed_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_gateway_that_cannot_be_reached_may_be_asked_again(proxy: StartProxy, stream: bool) -> None:
    received = await ask(await proxy(upstream=await closed_port()), stream)
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"]) == (502, "server_error", "upstream_unreachable")
    assert received.headers["x-should-retry"] == "true"


def reply(status: int, body: bytes = b"{}", content_type: str = "application/json") -> Reply:
    return Reply([body], status, content_type, "length")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (reply(401), "upstream_refused", "--upstream-token"),
        (reply(403), "upstream_refused", "--upstream-token"),
        (reply(404), "upstream_refused", "--upstream"),
        (reply(405), "upstream_refused", "--upstream"),
        (reply(400), "upstream_error", "400"),
        (reply(500, b"<h1>Traceback</h1>", "text/html"), "upstream_error", "500"),
        (reply(302), "upstream_error", "302"),
        (reply(307), "upstream_error", "--upstream, also the slash at its end"),
        (reply(200, b"<h1>Welcome</h1>", "text/html"), "upstream_error", "text/html"),
        (reply(200, b'{"ok": true}'), "upstream_error", "application/json"),
        (Reply([b"nonsense\r\n\r\n"], framing="raw"), "upstream_error", ""),
        (Reply(["cut"], framing="raw"), "upstream_interrupted", ""),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else None,
)
async def test_a_gateway_that_is_none_is_the_operators_affair(
    proxy: StartProxy, agent: Agent, given: Reply, code: str, says: str, stream: bool
) -> None:
    """Never a 401 or 404 for the client: its key and its model are not at fault."""
    agent.replies("/send", given)
    agent.replies("/close", answer({"ok": True}))
    received = await ask(await proxy(), stream)
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"]) == (502, "server_error", code)
    assert received.headers["x-should-retry"] == "false"
    assert says in error["message"]
    assert "<h1>" not in error["message"]


def busy(status: int, *retry_after: str) -> Reply:
    return replace(reply(status), headers=tuple(("Retry-After", each) for each in retry_after))


BUSY = [
    (busy(429, "7"), "rate_limit_exceeded", "true", "7"),
    (busy(429), "rate_limit_exceeded", "true", None),
    (busy(429, "soon"), "rate_limit_exceeded", "true", None),
    (busy(429, "Fri, 01 Jan 2100 00:00:00 GMT"), "rate_limit_exceeded", "true", f"{MAX_RETRY_AFTER:.0f}"),
    (busy(429, "Fri, 01 Jan 1999 00:00:00 GMT"), "rate_limit_exceeded", "true", "0"),
    (busy(503, "120"), "server_is_overloaded", "true", "120"),
    (busy(503, "999999"), "server_is_overloaded", "true", f"{MAX_RETRY_AFTER:.0f}"),
    (busy(503), "server_is_overloaded", "false", None),
]
"""A 503 without a time may be a balancer's, for a gateway that broke off: the run may have begun."""

OPENAI_TYPES = {"rate_limit_exceeded": "requests", "server_is_overloaded": "server_error"}
ANTHROPIC_ERRORS = {"rate_limit_exceeded": (429, "rate_limit_error"), "server_is_overloaded": (529, "overloaded_error")}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", CLIENTS, ids=str)
@pytest.mark.parametrize(("given", "code", "retry", "after"), BUSY)
async def test_a_busy_gateway_is_no_broken_gateway(
    proxy: StartProxy,
    agent: Agent,
    client: ApiClient,
    given: Reply,
    code: str,
    retry: str,
    after: str | None,
    stream: bool,
) -> None:
    """Clients wait as long as it says."""
    agent.replies("/send", given)
    agent.replies("/close", answer({"ok": True}))
    front = await proxy()
    received = await front.post(client.request("Hi", {}, stream=stream), path=client.path)
    error = client.read_error(received.body)
    if client is MESSAGES_CLIENT:
        assert (received.status, error["type"]) == ANTHROPIC_ERRORS[code]
    else:
        assert (received.status, error["type"], error["code"]) == (given.status, OPENAI_TYPES[code], code)
    assert str(given.status) in error["message"]
    assert received.headers["x-should-retry"] == retry
    assert received.headers.get("retry-after") == after
    assert len(agent.runs) == 1


async def test_the_official_client_asks_a_busy_gateway_again(proxy: StartProxy, agent: Agent) -> None:
    replies = iter([busy(429, "0"), busy(503, "0"), Reply(run("Hello"))])
    agent.replies("/send", lambda exchange: next(replies))
    agent.replies("/close", answer({"ok": True}))
    async with sdk(await proxy(), max_retries=2) as client:
        answered = await client.chat.completions.create(model="owl", messages=QUESTION)
    assert answered.choices[0].message.content == "Hello"
    assert len(agent.runs) == 3


# What is not passed on

TRACES = [
    "It broke.\n    at Agent.run (/srv/agent/run.js:7:1)\n    at process (node:internal)",
    'It broke.\nTraceback (most recent call last):\n  File "/srv/agent.py", line 1, in run',
    'It broke.\n  File "/srv/agent.py", line 1, in run',
    "It broke.\r\n    at Agent.run (/srv/agent/run.js:7:1)",
]
SECRETS = [
    f"Incorrect API key provided: {KEY}.",
    f"Authorization: Bearer {KEY}",
    "postgres://agent:0123456789abcdefABCDEF@db.example/x refused",
    "GET https://api.example/?api_key=0123456789abcdefABCDEF failed",
    '{"token": "0123456789abcdefABCDEF"}',
    f"first line\n{KEY}\nlast line",
]


async def message_of(front: Proxy, committed: bool) -> str:
    received = await ask(front, committed)
    if not committed:
        return str(check_error_body(received.body)["message"])
    error = check_stream(received.body, include_usage=False).error
    assert error is not None
    return str(error["message"])


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("trace", TRACES)
async def test_a_stack_trace_stays_here(proxy: StartProxy, agent: Agent, trace: str, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure(trace))
    assert await message_of(await proxy(), committed) == "The agent failed: It broke."


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_secret_stays_here(proxy: StartProxy, agent: Agent, secret: str, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure(secret))
    message = await message_of(await proxy(), committed)
    assert "0123456789abcdef" not in message
    assert "[redacted]" in message


@pytest.mark.parametrize("committed", [True, False])
async def test_a_prompt_that_the_agent_quotes_is_cut_short(proxy: StartProxy, agent: Agent, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure("Bad prompt: " + "You are a secret agent. " * 1000))
    message = await message_of(await proxy(), committed)
    assert message.startswith("The agent failed: Bad prompt: You are")
    assert len(message) < 600


@pytest.mark.parametrize("committed", [True, False])
async def test_the_names_of_other_apps_stay_here(proxy: StartProxy, agent: Agent, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure('Unknown app "owl". Available: secret-app'))
    assert "secret-app" not in await message_of(await proxy(), committed)


@pytest.mark.parametrize("committed", [True, False])
async def test_the_gateways_token_stays_here(proxy: StartProxy, agent: Agent, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure("Bearer gw-Secret-Token-77 refused"))
    assert "Secret-Token" not in await message_of(await proxy(upstream_token="gw-Secret-Token-77"), committed)


@pytest.mark.parametrize("committed", [True, False])
async def test_line_ends_to_some_are_escaped_in_errors_too(proxy: StartProxy, agent: Agent, committed: bool) -> None:
    agent.plays(OPENING, text("Let me"), failure("It\u2028broke\u2029badly\u0085here\r\nnow"))
    assert await message_of(await proxy(), committed) == "The agent failed: It broke badly here now"


async def test_a_model_name_is_quoted_safely(proxy: StartProxy, agent: Agent) -> None:
    name = 'owl\u2028"\\🦉\x00' + "x" * 240
    agent.plays(OPENING, failure(f'Unknown app "{name}". Available: a'))
    received = await ask(await proxy(), True, model=name)
    assert received.status == 404
    assert len(check_error_body(received.body)["message"]) < 600


# Other libraries


LANGCHAIN_400 = ("context_length_exceeded", "prompt is too long")
"""LangChain's ChatOpenAI makes its ContextOverflowError of a 400 whose text has one of these …"""
LANGCHAIN_ANY = "exceeds the context window"
"""… or of any error, also in mid-stream, whose text has this."""


@pytest.mark.parametrize("message", [each.says for each in REPORTED if each.code == "context_length_exceeded"])
async def test_langchain_recognises_a_context_that_is_too_long(proxy: StartProxy, agent: Agent, message: str) -> None:
    front = await proxy()
    agent.plays(OPENING, failure(message))
    async with sdk(front) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model="owl", messages=QUESTION)
        assert any(phrase in str(raised.value) for phrase in LANGCHAIN_400)
        assert LANGCHAIN_ANY in str(raised.value)
        agent.plays(OPENING, text("Let me"), failure(message))
        stream = await client.chat.completions.create(model="owl", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError) as in_stream:
            await asyncio.create_task(drain(stream))
        assert LANGCHAIN_ANY in str(in_stream.value)


async def drain(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("529 overloaded_error", "overloaded"),
        ("429", "limit"),
        ("The prompt triggered our content management policy", "content management policy"),
        ("prompt is too long", "context_length_exceeded"),
        ("Request timed out", "timed out"),
    ],
)
async def test_litellm_finds_its_words(proxy: StartProxy, agent: Agent, message: str, words: str) -> None:
    """It sorts by words in the text, so the provider's own are passed on beside ours."""
    agent.plays(OPENING, failure(message))
    received = await ask(await proxy(), False)
    assert words in check_error_body(received.body)["message"]
