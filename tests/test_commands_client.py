"""Answers as the terminal's client reads them, from the real proxy and from things that are none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from agent import Agent, Reply, answer, closing, failure, frame, run, text, tool_call
from conftest import StartProxy
from yarl import URL

from oaicompat_proxy.commands.client import Answer, AnswerError, ask

BODY: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "?"}]}

Shown = list[tuple[str, str]]


async def asked(base: str, answer: Answer) -> Shown:
    shown: Shown = []
    async with aiohttp.ClientSession() as client:
        await ask(client, URL(base), BODY, {"X-Request-Id": "me"}, answer, lambda *piece: shown.append(piece))
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


async def test_text_and_reasoning_are_shown_as_they_come(telling: StartTelling) -> None:
    thought = frame("reasoning_delta", blockIndex=0, delta="hm")
    base = await telling(*run()[:3], thought, text("He"), text("llo"), *closing(used=3, made=4))
    reply = Answer()
    assert await asked(base, reply) == [("reasoning", "hm"), ("text", "He"), ("text", "llo")]
    assert (reply.text, reply.finish_reason, reply.tokens, reply.request_id) == ("Hello", "stop", 7, "me")
    assert reply.message() == {"role": "assistant", "content": "Hello"}


async def test_calls_are_put_together(telling: StartTelling) -> None:
    calls = [*tool_call("c1", "add", '{"a":1}'), *tool_call("c2", "sub", "{}")]
    base = await telling(*run()[:3], *calls, *closing())
    reply = Answer()
    assert await asked(base, reply) == []
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [
        ("c1", "add", '{"a":1}'),
        ("c2", "sub", "{}"),
    ]
    message = reply.message()
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1}'}


async def test_a_failure_before_the_stream_is_told_with_its_status(telling: StartTelling) -> None:
    reply = Answer()
    with pytest.raises(AnswerError, match=r"429: .*limits its rate.*\(rate_limit_exceeded\)"):
        await asked(await telling(failure("rate limit")), reply)
    assert reply.request_id == "me"


async def test_a_failure_in_the_stream_is_told_and_what_was_said_is_kept(telling: StartTelling) -> None:
    reply = Answer()
    with pytest.raises(AnswerError, match="agent_error"):
        await asked(await telling(*run("Hi")[:4], failure("broken")), reply)
    assert reply.text == "Hi"


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (
            Reply([b"<html>\n Bad   Gateway</html>"], 502, "text/html"),
            "502: not the proxy's own answer: <html> Bad Gateway",
        ),
        (Reply([], 503, framing="length"), "503: not the proxy's own answer: nothing"),
        (Reply([b"data: hello\n\n"]), "not an OpenAI stream"),
        (Reply([b"data: {}\n\n"]), "broke off"),
        (Reply([b"data: {}\n\n", "reset"]), "http"),
    ],
    ids=["a page", "nothing", "another stream", "no end", "a broken connection"],
)
async def test_what_is_no_answer_of_the_proxys_is_told(agent: Agent, reply: Reply, word: str) -> None:
    agent.replies("/chat/completions", reply)
    with pytest.raises(AnswerError, match=word):
        await asked(agent.url, Answer())
