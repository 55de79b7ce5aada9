"""One run, one answer: what both forms share, and what happens when the proxy itself is at fault."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder
from oaicompat_proxy.core.answer import AnswerFinished
from oaicompat_proxy.server.sessions.sessions import Sessions
from oaicompat_proxy.translation.translator import Translator
from tests.support.conformance import Answer, check_body, check_error_body, check_stream
from tests.support.proxy import CHAT, Received, StartProxy, chat_body
from tests.support.scripted_gateway import LAST_WORD, OPENING, Agent, closing, failure, frame, run, text, tool_call

PATHS = {CHAT: chat_body(stream=False), "/v1/completions": b'{"prompt": "Hi"}'}
DETAIL = "a detail for the log"


def read(received: Received, *, stream: bool) -> Answer:
    return check_stream(received.body, include_usage=False) if stream else check_body(received.body)


class Faulty:
    """Replaces a method by one that fails at its nth call, or at the first whose argument is of a kind."""

    def __init__(self, original: Callable[..., Any], nth: int = 0, kind: type[Any] | None = None) -> None:
        self._original = original
        self._left = nth
        self._kind = kind

    def __get__(self, instance: object, _owner: object) -> Callable[..., Any]:
        def method(*given: Any) -> Any:
            self._left -= 1
            if self._left == 0 or (self._kind is not None and isinstance(given[0], self._kind)):
                raise RuntimeError(DETAIL)
            return self._original(instance, *given)

        return method


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the sweeping of old sessions, a task that lasts as long as the proxy."""

    async def nothing(_sessions: Sessions) -> None:
        pass

    monkeypatch.setattr(Sessions, "sweep", nothing)


# Both forms


@pytest.mark.parametrize("stop", ["stop", "max_tokens", "content_filter"])
async def test_both_forms_say_the_same(proxy: StartProxy, agent: Agent, stop: str) -> None:
    agent.plays(OPENING, frame("reasoning_delta", delta="Hm."), text("one "), text("two"), closing(stop=stop))
    front = await proxy()
    streamed, whole = [read(await front.chat(stream=stream, model="owl"), stream=stream) for stream in (True, False)]
    for name in ("text", "reasoning", "finish_reason", "role", "model", "error"):
        assert getattr(streamed, name) == getattr(whole, name)
    assert streamed.id != whole.id


async def test_several_calls_of_the_clients_go_out_in_both_forms(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(
        OPENING,
        tool_call("c1", "tide", '{"port":"Brest"}')[:-1],
        tool_call("c2", "moon", "{}"),
        frame("tick_end", tick=1, shouldContinue=True),
        LAST_WORD,
    )
    front = await proxy()
    tools = [{"type": "function", "function": {"name": name}} for name in ("tide", "moon")]
    for stream in (True, False):
        answer = read(await front.chat(stream=stream, tools=tools), stream=stream)
        assert answer.tool_calls == [("c1", "tide", '{"port":"Brest"}'), ("c2", "moon", "{}")]
        assert (answer.finish_reason, answer.text) == ("tool_calls", "")


@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_garbled_behind_the_end_is_nobodys(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """Also where it comes in one read with the end."""
    call = b"".join(tool_call("c1", "tide", "{}"))
    agent.plays(call + frame("tool_result_start", callId="c1", name="tide") + b'data: {"event":"tick_end",\n\n')
    tools = [{"type": "function", "function": {"name": "tide"}}]
    answer = read(await (await proxy()).chat(stream=stream, tools=tools), stream=stream)
    assert answer.finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_dated_when_it_was_asked_for(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(run("Hello"))
    before = int(time.time())
    answer = read(await (await proxy()).chat(stream=stream), stream=stream)
    assert type(answer.created) is int
    assert before <= answer.created <= time.time()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_is_left_open_has_a_name_in_the_answer(
    proxy: StartProxy, agent: Agent, stream: bool
) -> None:
    agent.plays(run("Hello"))
    for model in (None, ""):
        assert read(await (await proxy()).chat(stream=stream, model=model), stream=stream).model == "default"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unknown_model_is_not_found_in_both_forms(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.plays(failure('Unknown app "nobody". Available: owl'))
    received = await (await proxy()).chat(stream=stream, model="nobody")
    error = check_error_body(received.body)
    assert (received.status, received.headers["Content-Type"]) == (404, "application/json")
    assert (error["code"], error["param"]) == ("model_not_found", None)


@pytest.mark.usefixtures("unswept")
@pytest.mark.parametrize("stream", [True, False])
async def test_the_next_request_may_follow_on_the_last_byte(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """The session is found by a client that is as fast as can be: it was remembered before the answer's end."""
    agent.plays(run("Hello"))
    front = await proxy(sessions="recognise")
    messages: list[dict[str, str]] = []
    for _ in range(5):
        messages += [{"role": "user", "content": "Hi"}]
        answer = read(await front.chat(stream=stream, messages=messages), stream=stream)
        messages += [{"role": "assistant", "content": answer.text}]
    agent.kept_sessions.update(each.session for each in agent.runs)
    assert len({each.session for each in agent.runs}) == 1


# Faults of the proxy


@pytest.mark.parametrize("stream", [True, False])
async def test_a_fault_before_the_first_word_is_a_plain_500(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    monkeypatch.setattr(Translator, "feed", Faulty(Translator.feed, nth=1))
    agent.plays(run("Hello"))
    front = await proxy()
    received = await front.chat(stream=stream)
    error = check_error_body(received.body)
    assert (received.status, error["type"], error["code"]) == (500, "server_error", None)
    assert received.headers["x-should-retry"] == "false", "the agent has been asked"
    assert DETAIL not in received.body.decode()
    assert DETAIL in caplog.text
    assert received.headers["x-request-id"] in caplog.text
    assert (await front.chat(stream=stream)).status == 200


async def test_a_fault_at_the_end_is_the_last_frame(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ChunkEncoder, "encode", Faulty(ChunkEncoder.encode, kind=AnswerFinished))
    gate = asyncio.Event()
    agent.plays(OPENING, text("one "), gate, text("two"), closing())
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(), version="1.0")
    status, _ = await line.read_head()
    body = await line.read_until(b'"one "}')
    gate.set()
    body += await line.read_to_end()
    answer = check_stream(body, include_usage=False)
    assert (status, answer.finish_reason) == (200, None)
    assert answer.error is not None
    assert (answer.error["type"], answer.error["code"]) == ("server_error", None)
    assert DETAIL not in body.decode()
    assert DETAIL in caplog.text
    assert (await front.get("/healthz")).status == 200


async def test_a_fault_in_the_middle_is_the_last_frame(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("one "), gate, text("two"), closing())
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(), version="1.0")
    await line.read_head()
    body = await line.read_until(b'"one "}')
    monkeypatch.setattr(Translator, "feed", Faulty(Translator.feed, nth=1))
    gate.set()
    body += await line.read_to_end()
    answer = check_stream(body, include_usage=False)
    assert (answer.text, answer.finish_reason) == ("one ", None)
    assert answer.error is not None
    assert answer.error["type"] == "server_error"
    assert DETAIL not in body.decode()
    assert DETAIL in caplog.text
    assert (await front.get("/healthz")).status == 200


@pytest.mark.usefixtures("unswept")
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_could_not_be_remembered_is_no_success(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Its last bytes wait for that, so that the client's next request finds its session."""

    async def broken(*_given: object) -> None:
        raise RuntimeError(DETAIL)

    monkeypatch.setattr(Sessions, "store", broken)
    agent.plays(run("Hello"))
    received = await (await proxy(sessions="recognise")).chat(stream=stream)
    if stream and received.status == 200:
        answer = check_stream(received.body, include_usage=False)
        assert (answer.finish_reason, answer.error is None) == (None, False)
    else:
        assert (received.status, check_error_body(received.body)["type"]) == (500, "server_error")
    assert DETAIL not in received.body.decode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["add", "body"])
async def test_a_fault_while_collecting_is_a_500(
    proxy: StartProxy, agent: Agent, monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    owner = (
        "api.openai.chat.collector.Collector" if path == CHAT else "api.openai.completions.encoder.CompletionCollector"
    )

    def broken(*_given: object) -> None:
        raise RuntimeError(DETAIL)

    monkeypatch.setattr(f"oaicompat_proxy.{owner}.{method}", broken)
    agent.plays(run("Hello"))
    received = await (await proxy()).post(PATHS[path], path=path)
    assert (received.status, check_error_body(received.body)["type"]) == (500, "server_error")
    assert DETAIL not in received.body.decode()


# What the log says


async def test_a_client_that_leaves_is_no_fault(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    agent.plays(OPENING, text("one "), "stall")
    line = await (await proxy()).dial()
    await line.post(chat_body())
    await line.read_until(b'"one "}')
    line.reset()
    await agent.until(lambda: agent.runs[0].outcome == "left")
    await agent.until(lambda: agent.closed_sessions)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("committed", [True, False])
async def test_a_failed_answer_is_one_line_of_the_log_with_its_request(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture, stream: bool, committed: bool
) -> None:
    agent.plays(OPENING, *([text("one ")] if committed else []), failure("Overloaded with sk-0123456789abcdef"))
    received = await (await proxy()).chat(stream=stream)
    records = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(records) == 1
    assert received.headers["x-request-id"] in records[0].getMessage()
    assert "server_is_overloaded" in records[0].getMessage()
    assert (records[0].levelno, records[0].exc_info) == (logging.WARNING, None)
    assert "sk-0123456789abcdef" not in caplog.text


async def test_what_goes_wrong_while_nobody_listens_leaves_nothing(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("one "), gate, failure("Model exploded"))
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body())
    await line.read_until(b'"one "}')
    line.reset()
    gate.set()
    await agent.until(lambda: agent.closed_sessions)
    assert (await front.get("/healthz")).status == 200
    assert "Traceback" not in caplog.text


async def test_a_whole_answer_has_a_largest_size_and_a_streamed_one_has_none(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("x" * 101))
    front = await proxy(max_answer=100)
    refused = await front.chat(stream=False)
    assert refused.status == 502
    assert check_error_body(refused.body)["code"] == "upstream_answer_too_long"
    assert len(check_stream((await front.chat()).body, include_usage=False).text) == 101
