"""Answers as the commands' client reads them, by each API, from the real proxy and from things that are none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from yarl import URL

from oaicompat_proxy.commands.apis import APIS
from oaicompat_proxy.commands.client import Answer, AnswerError, Api, ask
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer, closing, failure, frame, run, text, tool_call

Shown = list[tuple[str, str]]

with_each_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


async def asked(base: str, api: Api, answer: Answer) -> Shown:
    shown: Shown = []
    body = api.request("default", [{"role": "user", "content": "?"}])
    async with aiohttp.ClientSession() as client:
        await ask(client, URL(base), api, body, {"X-Request-Id": "me"}, answer, lambda *piece: shown.append(piece))
    return shown


StartTelling = Callable[..., Awaitable[str]]


@pytest.fixture
async def telling(agent: Agent, proxy: StartProxy) -> StartTelling:
    """A proxy whose agent says these frames."""

    async def start(*frames: bytes) -> str:
        agent.replies("/send", Reply([b"".join(frames)]))
        agent.replies("/invoke", answer(None))
        return (await proxy()).base + "/v1"

    return start


@with_each_api
async def test_text_and_reasoning_are_shown_as_they_come(telling: StartTelling, api: Api) -> None:
    thought = frame("reasoning_delta", blockIndex=0, delta="hm")
    base = await telling(*run()[:3], thought, text("He"), text("llo"), *closing(used=3, made=4))
    reply = Answer()
    assert await asked(base, api, reply) == [("reasoning", "hm"), ("text", "He"), ("text", "llo")]
    assert (reply.text, reply.finish_reason, reply.tokens, reply.request_id) == ("Hello", "stop", 7, "me")
    message = reply.items[-1]
    assert message["role"] == "assistant"
    assert "Hello" in str(message["content"])


@with_each_api
async def test_a_cut_answer_says_why(telling: StartTelling, api: Api) -> None:
    reply = Answer()
    await asked(await telling(*run("Half", stop="max_tokens")), api, reply)
    assert (reply.text, reply.finish_reason in ("length", "max_output_tokens", "max_tokens")) == ("Half", True)


async def test_calls_are_put_together(telling: StartTelling) -> None:
    calls = [*tool_call("c1", "add", '{"a":1}'), *tool_call("c2", "sub", "{}")]
    base = await telling(*run()[:3], *calls, *closing())
    reply = Answer()
    assert await asked(base, APIS["chat"], reply) == []
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [
        ("c1", "add", '{"a":1}'),
        ("c2", "sub", "{}"),
    ]
    (message,) = reply.items
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1}'}


async def test_tools_that_the_agent_runs_are_shown(telling: StartTelling) -> None:
    result = frame("tool_result", callId="c1", name="add", result=[{"type": "text", "text": "42"}], isError=False)
    base = await telling(*run("See.")[:4], *tool_call("c1", "add", '{"a":1}'), result, *run("So.")[2:])
    reply = Answer()
    shown = await asked(base, APIS["responses"], reply)
    assert ("tool", 'default: add {"a":1} → 42') in shown
    assert not reply.calls
    assert [item["type"] for item in reply.items] == ["message", "mcp_call", "message"]


async def test_calls_and_tools_of_both_sides_in_messages(telling: StartTelling) -> None:
    result = frame("tool_result", callId="c1", name="add", result=[{"type": "text", "text": "42"}], isError=False)
    own = [*run("See.")[:4], *tool_call("c1", "add", '{"a":1}'), result]
    calls = [*tool_call("c2", "sub", '{"b":2}'), *tool_call("c3", "neg", "{}")]
    reply = Answer()
    shown = await asked(await telling(*own, *run()[2:3], *calls, *closing()), APIS["messages"], reply)
    assert [words for kind, words in shown if kind == "tool"] == ['default: add {"a": 1}', "→ 42"]
    assert [(call.name, call.arguments) for call in reply.calls] == [("sub", '{"b":2}'), ("neg", "{}")]
    (message,) = reply.items
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use"]
    assert (message["content"][1]["name"], message["content"][1]["input"]) == ("sub", {"b": 2})


@with_each_api
async def test_a_failure_before_the_stream_is_shown_with_its_status(telling: StartTelling, api: Api) -> None:
    reply = Answer()
    with pytest.raises(AnswerError, match=r"429: .*limits its rate.*\(rate_limit_(exceeded|error)\)"):
        await asked(await telling(failure("rate limit")), api, reply)
    assert reply.request_id == "me"


@with_each_api
async def test_a_failure_in_the_stream_is_shown_after_the_text_before_it(telling: StartTelling, api: Api) -> None:
    reply = Answer()
    with pytest.raises(AnswerError, match=r"agent_error|api_error"):
        await asked(await telling(*run("Hi")[:4], failure("broken")), api, reply)
    assert (reply.text, reply.items) == ("Hi", [])


@with_each_api
@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (
            Reply([b"<html>\n Bad   Gateway</html>"], 502, "text/html"),
            "502: not the proxy's own answer: <html> Bad Gateway",
        ),
        (Reply([], 503, framing="length"), "503: not the proxy's own answer: nothing"),
        (Reply([b"data: hello\n\n"]), "no stream of the API"),
        (Reply([b"data: {}\n\n"]), "broke off"),
        (Reply([b"data: {}\n\n", "reset"]), "http"),
    ],
    ids=["a page", "nothing", "another stream", "no end", "a broken connection"],
)
async def test_an_answer_that_is_not_the_proxys_is_reported(agent: Agent, api: Api, reply: Reply, word: str) -> None:
    agent.replies(f"/{api.path}", reply)
    with pytest.raises(AnswerError, match=word):
        await asked(agent.url, api, Answer())
