from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
from aiohttp import web

from oaicompat_proxy.demo.gateway import STATE, create_gateway
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.demo.state import GatewayState
from tests.support.conformance import PING, check_body, check_error_body, check_stream
from tests.support.leaks import no_tasks_left
from tests.support.proxy import Line, Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import (
    LAST_WORD,
    OPENING,
    PATIENCE,
    Agent,
    Reply,
    Step,
    answer,
    closing,
    enveloped,
    failure,
    frame,
    run,
    text,
    tool_call,
)

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
MEGABYTE = 1024 * 1024


class Pouring:
    """Text without end, or `count` pieces of it: a script that is made while it is played."""

    def __init__(self, piece: str, count: int | None = None) -> None:
        self._frame = text(piece)
        self._count = count

    def __iter__(self) -> Iterator[Step]:
        yield from OPENING
        yield from itertools.repeat(self._frame) if self._count is None else [self._frame] * self._count
        yield from closing()


# What an answer is


async def test_a_run_is_one_streamed_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("The quick ", "brown fox"))
    received = await (await proxy()).chat(stream_options={"include_usage": True})
    answer = check_stream(received.body, include_usage=True)
    assert (received.status, answer.text, answer.finish_reason) == (200, "The quick brown fox", "stop")
    assert answer.usage == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


async def test_a_run_is_one_whole_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("The quick ", "brown fox"))
    received = await (await proxy()).chat(stream=False)
    answer = check_body(received.body)
    assert (received.status, received.headers["Content-Type"].split(";")[0]) == (200, "application/json")
    assert (answer.text, answer.finish_reason) == ("The quick brown fox", "stop")
    assert answer.usage == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


async def test_without_the_wish_for_it_a_stream_has_no_usage(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).chat()
    assert check_stream(received.body, include_usage=False).usage is None
    assert b"usage" not in received.body


async def test_a_stream_says_that_it_is_one_and_that_nobody_may_hold_it(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    headers = (await (await proxy()).chat()).headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers


async def test_each_piece_is_sent_while_the_agent_still_works(proxy: StartProxy, agent: Agent) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    agent.plays([*OPENING, text("one")], gates[0], text("two"), gates[1], text("three"), gates[2], closing())
    line = await (await proxy()).dial()
    await line.post(chat_body())
    for piece, gate in zip([b'"one"', b'"two"', b'"three"'], gates, strict=True):
        await line.read_until(piece)
        gate.set()
    await line.read_until(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_many_answers_at_once_are_not_mixed(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.replies("/send", lambda exchange: Reply(run(*exchange.prompt)))
    front = await proxy()
    questions = [f"question {number}" for number in range(30)]
    answers = await asyncio.gather(*(front.chat(question, stream=stream) for question in questions))
    read = [check_stream(each.body, include_usage=False) if stream else check_body(each.body) for each in answers]
    assert [answer.text for answer in read] == questions
    assert len({answer.id for answer in read}) == len(questions)


# The commit


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("Model exploded", 502, "agent_error"),
        ('Unknown app "x". Available: a, b', 404, "model_not_found"),
        ("Execution aborted", 502, "agent_aborted"),
        ("429 Rate limit reached", 429, "rate_limit_exceeded"),
        ("You exceeded your current quota", 429, "insufficient_quota"),
        ("Overloaded", 503, "server_is_overloaded"),
        ("This model's maximum context length is 8192 tokens", 400, "context_length_exceeded"),
        ("401 Incorrect API key provided", 502, "agent_unauthorized"),
        ("Request timed out", 504, "agent_timeout"),
    ],
)
async def test_a_failure_before_the_first_word_is_an_http_status(
    proxy: StartProxy, agent: Agent, stream: bool, message: str, status: int, code: str
) -> None:
    agent.plays(OPENING, failure(message))
    received = await (await proxy()).chat(stream=stream)
    assert received.status == status
    assert check_error_body(received.body)["code"] == code
    assert status == 404 or received.headers["x-should-retry"] == "false"


async def test_what_comes_before_the_first_word_does_not_commit(proxy: StartProxy, agent: Agent) -> None:
    """Run, tick and message begin, then comes a pause: status 200 would be too early."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("Model exploded"))
    chat = asyncio.create_task((await proxy()).chat())
    await agent.until(lambda: agent.runs and agent.runs[0].sent == sum(map(len, OPENING)))
    gate.set()
    assert (await chat).status == 502


async def test_a_slow_start_commits_and_is_kept_warm(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("At last"), closing())
    line = await (await proxy(first_event_wait=0.02, keep_alive=0.02)).dial()
    await line.post(chat_body(), headers=["Connection: close"])
    assert (await line.read_head())[0] == 200
    early = await line.read_until(PING) + await line.read_until(PING)
    assert early.count(b'"role":"assistant"') == 1
    gate.set()
    assert b"At last" in await line.read_until(b"data: [DONE]\n\n")


async def test_a_slow_start_is_a_whole_stream_in_the_end(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("At last"), closing())
    line = await (await proxy(first_event_wait=0.02, keep_alive=0.02)).dial()
    await line.post(chat_body())
    await line.read_head()
    gate.set()
    assert check_stream(await line.read_chunks(), include_usage=False).text == "At last"


async def test_a_gateway_that_is_slow_to_answer_at_all_is_a_slow_start_too(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    whole = Reply(run("Late"), framing="close")
    agent.plays(gate, whole.head(), [step for step in whole.steps if isinstance(step, bytes)], framing="raw")
    line = await (await proxy(first_event_wait=0.02)).dial()
    await line.post(chat_body())
    assert (await line.read_head())[0] == 200
    gate.set()
    assert check_stream(await line.read_chunks(), include_usage=False).text == "Late"


async def test_a_failure_after_a_slow_start_is_the_last_frame(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, failure("Model exploded"))
    line = await (await proxy(first_event_wait=0.02)).dial()
    await line.post(chat_body())
    assert (await line.read_head())[0] == 200
    gate.set()
    answer = check_stream(await line.read_chunks(), include_usage=False)
    assert answer.error is not None
    assert answer.error["code"] == "agent_error"


async def test_without_patience_a_stream_commits_at_once(proxy: StartProxy, agent: Agent) -> None:
    agent.plays("stall")
    line = await (await proxy(first_event_wait=0)).dial()
    await line.post(chat_body())
    assert (await line.read_head())[0] == 200
    await line.read_until(b'"role":"assistant"')


# One ending


async def test_a_failure_after_the_first_word_is_one_frame_and_done(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Half an ans"), failure("Model exploded"))
    received = await (await proxy()).chat()
    answer = check_stream(received.body, include_usage=False)
    assert (received.status, answer.text, answer.finish_reason) == (200, "Half an ans", None)
    assert answer.error is not None
    assert answer.error["code"] == "agent_error"
    assert "Model exploded" in answer.error["message"]


async def test_a_failure_after_the_first_word_is_no_second_http_response(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Half an ans"), failure("Model exploded"))
    line = await (await proxy()).dial()
    await line.post(chat_body(), headers=["Connection: close"])
    raw = await line.read_to_end()
    assert raw.count(b"HTTP/1.1") == 1
    assert raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_failure_after_the_first_word_leaves_no_half_answer(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Half an ans"), failure("Model exploded"))
    received = await (await proxy()).chat(stream=False)
    assert (received.status, check_error_body(received.body)["code"]) == (502, "agent_error")
    assert b"Half" not in received.body


@pytest.mark.parametrize("after", [[LAST_WORD], [text("again")], [failure("too late")], run("another")])
@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_follows_the_end(proxy: StartProxy, agent: Agent, stream: bool, after: list[bytes]) -> None:
    agent.plays(run("Once"), after)
    received = await (await proxy()).chat(stream=stream)
    answer = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
    assert (answer.text, answer.finish_reason) == ("Once", "stop")


@pytest.mark.parametrize("stream", [True, False])
async def test_the_end_does_not_wait_for_the_agents_connection(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """The run has ended; a gateway that does not end its body then delays the client only briefly."""
    agent.plays(run("Once"), "stall")
    received = await (await proxy()).chat(stream=stream)
    answer = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
    assert answer.finish_reason == "stop"
    await agent.until(lambda: agent.runs[0].outcome == "left")


@pytest.mark.parametrize(("stream", "events", "status"), [(True, [], 504), (True, ["a"], 200), (False, ["a"], 504)])
async def test_an_agent_that_falls_silent_is_given_up(
    proxy: StartProxy, agent: Agent, stream: bool, events: list[str], status: int
) -> None:
    agent.plays(OPENING, [text(piece) for piece in events], "stall")
    received = await (await proxy(silence_timeout=0.1)).chat(stream=stream)
    assert received.status == status
    error = check_stream(received.body, include_usage=False).error if status == 200 else None
    assert (error or check_error_body(received.body))["code"] == "upstream_timeout"
    await agent.until(lambda: agent.runs[0].outcome == "left")


# The client leaves


async def at_the_agent(front: Proxy, agent: Agent, *, stream: bool) -> Line:
    """A client whose request has reached the agent."""
    line = await front.dial()
    await line.post(chat_body(stream=stream))
    await agent.until(lambda: agent.runs)
    return line


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("expected", ["nothing, not even a head", "an opening", "a word"])
async def test_a_client_that_leaves_releases_a_silent_agent(
    proxy: StartProxy, agent: Agent, stream: bool, leave: str, expected: str
) -> None:
    if expected == "nothing, not even a head":
        agent.plays("stall", framing="raw")
    else:
        agent.plays(OPENING, [text("Well")] if expected == "a word" else [], "stall")
    line = await at_the_agent(await proxy(), agent, stream=stream)
    if expected == "a word" and stream:
        await line.read_until(b"Well")
    if leave == "reset":
        line.reset()
    else:
        await line.close()
    async with asyncio.timeout(2):
        await agent.until(lambda: agent.runs[0].outcome == "left")
        await agent.until(lambda: agent.closed_sessions == [agent.runs[0].session])


async def test_a_client_that_leaves_a_stream_kept_warm_releases_the_agent(proxy: StartProxy, agent: Agent) -> None:
    agent.plays("stall")
    line = await at_the_agent(await proxy(first_event_wait=0.01, keep_alive=0.01), agent, stream=True)
    await line.read_until(PING)
    await line.close()
    async with asyncio.timeout(2):
        await agent.until(lambda: agent.runs[0].outcome == "left")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_releases_an_agent_that_pours(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    agent.replies("/send", Reply(Pouring("x" * 1000)))
    line = await at_the_agent(await proxy(), agent, stream=stream)
    if stream:
        await line.read_until(b"xxx")
    await line.close()
    async with asyncio.timeout(5):
        await agent.until(lambda: agent.runs[0].outcome == "left")


# What is left of it


@pytest.mark.slow
async def test_an_answer_leaves_no_circles_for_the_garbage_collector(proxy: StartProxy, agent: Agent) -> None:
    """Its memory is free at once, and under load there is nearly nothing to collect."""
    agent.plays(run("Hello"))
    front = await proxy()
    await front.chat()  # what is made once for all
    with saved_garbage() as garbage:
        await asyncio.gather(*(front.chat(stream=bool(number % 2)) for number in range(8)))
        await agent.until(lambda: len(agent.closed_sessions) == 9)
        gc.collect()
        ours = [each for each in garbage if type(each).__module__.startswith("oaicompat_proxy")]
        # a connection that ends holds its last answer in a circle of the framework's
        assert not [each for each in ours if not isinstance(each, web.StreamResponse)]


@contextlib.contextmanager
def saved_garbage() -> Iterator[list[object]]:
    """The objects that are collected from now on."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


# Sessions


async def test_a_fresh_session_is_unguessable_and_closed_once(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await asyncio.gather(*(front.chat(stream=bool(number % 2)) for number in range(20)))
    await agent.until(lambda: len(agent.closed_sessions) == 20)
    sessions = [each.session for each in agent.runs]
    assert sorted(agent.closed_sessions) == sorted(sessions)
    assert len(set(sessions)) == 20
    secrets = [re.sub(r"^[a-z]+-", "", session) for session in sessions]
    assert all(re.fullmatch(r"[\w-]{22,}", secret) for secret in secrets), "128 bits or more, and no colon"
    assert len({secret[:6] for secret in secrets}) == 20, "nothing counts up, no clock"


@pytest.mark.parametrize(
    "steps",
    [
        run("Hello"),
        [failure("Model exploded")],
        [*OPENING, text("Half"), failure("Model exploded")],
        [*OPENING, text("Half"), "cut"],
        ["cut"],
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_session_is_closed_however_the_run_ends(
    proxy: StartProxy, agent: Agent, stream: bool, steps: list[Step]
) -> None:
    agent.replies("/send", Reply(steps))
    await (await proxy()).chat(stream=stream)
    await agent.until(lambda: agent.closed_sessions == [agent.runs[0].session])


async def test_a_session_of_an_app_is_opened_and_closed_by_the_same_key(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    await (await proxy(model={"gpt-4o": "coder"})).chat(model="gpt-4o")
    assert agent.runs[0].session.startswith("coder:")
    await agent.until(lambda: agent.closed_sessions == [agent.runs[0].session])


@pytest.mark.slow
async def test_a_gateway_that_does_not_close_holds_nobody_up(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    agent.replies("/close", Reply(["stall"], framing="raw"))
    front = await proxy(close_timeout=0.05)
    assert check_stream((await front.chat()).body, include_usage=False).text == "Hello"
    await agent.until(lambda: [each.outcome for each in agent.exchanges if each.path == "/close"] == ["left"])


@pytest.fixture(params=itertools.product(("standalone", "embedded"), ("0.9.4", "924f879")), ids="-".join)
async def gateway(request: pytest.FixtureRequest, proxy: StartProxy) -> AsyncIterator[Gateway]:
    """Every kind of gateway; each is gone before the proxy is."""
    form, release = request.param
    app = create_gateway(GatewaySettings(form=form, release=release, pace=0))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Gateway(f"http://127.0.0.1:{runner.addresses[0][1]}", app[STATE])
    await runner.cleanup()


@dataclass
class Gateway:
    url: str
    gateway_state: GatewayState

    async def until(self, condition: Callable[[GatewayState], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.gateway_state.wait_until(lambda gateway_state: bool(condition(gateway_state)))

    @property
    def sessions(self) -> list[str]:
        return [session.key for session in self.gateway_state.sessions]


async def test_every_kind_of_gateway_is_left_without_sessions(gateway: Gateway, proxy: StartProxy) -> None:
    """A standalone one closes only while somebody listens to its events; a newer one has another way."""
    front = await proxy(upstream=gateway.url)
    for _ in range(3):
        assert check_stream((await front.chat(model="echo")).body, include_usage=False).text == "Hi"
    await gateway.until(lambda gateway_state: gateway_state.runs.started == 3 and not gateway.sessions)


async def test_a_run_whose_client_left_is_stopped_by_closing_its_session(gateway: Gateway, proxy: StartProxy) -> None:
    """The gateway itself would go on: a missing reader does not stop it."""
    line = await (await proxy(upstream=gateway.url)).dial()
    await line.post(chat_body("[[scenario:silent]]"))
    await gateway.until(lambda gateway_state: gateway_state.runs.running)
    await line.close()
    await gateway.until(lambda gateway_state: not gateway_state.runs.running and not gateway.sessions)


async def test_a_close_that_fails_is_tried_again(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    agent.replies("/close", answer({"error": "Internal server error"}, 500), answer({"ok": True}))
    await (await proxy()).chat()
    await agent.until(lambda: agent.closed_sessions == [agent.runs[0].session])


async def test_a_client_never_learns_the_name_of_its_session(proxy: StartProxy, agent: Agent) -> None:
    """A client that knew the name could read the conversation on the gateway."""
    agent.replies("/send", Reply([*OPENING, text("Half"), "cut"]), Reply(run("Hello")))
    front = await proxy()
    received = [await front.chat(stream=stream) for stream in (True, False)]
    for each in agent.runs:
        assert not any(each.session.encode() in answered.body for answered in received)
        assert not any(each.session in str(answered.headers) for answered in received)


@pytest.mark.slow
async def test_a_burst_of_answers_leaves_no_session(proxy: StartProxy, agent: Agent) -> None:
    """More answers than a gateway closes sessions for in the same time: the closes wait for their turn."""
    gate = asyncio.Event()
    agent.plays(run("Hello"))
    agent.replies("/close", Reply([gate, b'{"ok":true}'], content_type="application/json"))
    front = await proxy(close_timeout=PATIENCE)
    limit = asyncio.Semaphore(100)

    async def ask() -> None:
        async with limit:
            assert (await front.chat(stream=False)).status == 200

    await asyncio.gather(*(ask() for _ in range(1500)))
    gate.set()
    await agent.until(lambda: len(agent.closed_sessions) == 1500)


# Tools


async def test_a_call_of_the_clients_tool_ends_the_answer_before_the_run(proxy: StartProxy, agent: Agent) -> None:
    """The agent goes on with an answer of its own making; that is not the client's."""
    never = asyncio.Event()
    agent.plays(OPENING, text("Checking."), tool_call("c1", "weather", '{"city":"Paris"}'), never)
    received = await (await proxy()).chat(tools=[WEATHER])
    answer = check_stream(received.body, include_usage=False)
    assert (answer.text, answer.finish_reason) == ("Checking.", "tool_calls")
    assert answer.tool_calls == [("c1", "weather", '{"city":"Paris"}')]
    await agent.until(lambda: agent.runs[0].outcome == "left")
    await agent.until(lambda: agent.closed_sessions == [agent.runs[0].session])


async def test_a_call_of_the_clients_tool_ends_a_whole_answer_too(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, tool_call("c1", "weather", '{"city":"Paris"}'), "stall")
    answer = check_body((await (await proxy()).chat(stream=False, tools=[WEATHER])).body)
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")
    assert answer.tool_calls == [("c1", "weather", '{"city":"Paris"}')]
    await agent.until(lambda: agent.runs[0].outcome == "left")


async def test_a_call_of_the_agents_own_tool_stays_inside(proxy: StartProxy, agent: Agent) -> None:
    result = {"toolUseId": "c1", "name": "clock", "success": True, "content": [{"type": "text", "text": "12:00"}]}
    agent.plays(
        OPENING,
        tool_call("c1", "clock", '{"zone":"UTC"}'),
        frame("tool_result_start", callId="c1", name="clock"),
        frame("tool_result", callId="c1", name="clock", result=result, executedBy="engine"),
        frame("tick_end", tick=1, shouldContinue=True),
        frame("tick_start", tick=2),
        text("It is noon."),
        closing(),
    )
    received = await (await proxy()).chat(tools=[WEATHER])
    answer = check_stream(received.body, include_usage=False)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("It is noon.", [], "stop")


async def test_a_tool_that_waits_for_nobody_is_an_error(proxy: StartProxy, agent: Agent) -> None:
    asks = enveloped("tool_confirmation_required", {"callId": "c1", "name": "danger", "input": {}})
    agent.plays(OPENING, text("Shall I?"), asks, "stall")
    answer = check_stream((await (await proxy()).chat()).body, include_usage=False)
    assert answer.error is not None
    assert "danger" in answer.error["message"]
    await agent.until(lambda: agent.runs[0].outcome == "left")


# Clients of an older kind


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"]])
@pytest.mark.parametrize("steps", [run("Hello"), [*OPENING, text("Hello"), failure("Model exploded")]])
async def test_a_client_without_chunks_learns_the_end_by_the_close(
    proxy: StartProxy, agent: Agent, headers: list[str], steps: list[bytes]
) -> None:
    agent.plays(steps)
    line = await (await proxy()).dial()
    await line.post(chat_body(), version="1.0", headers=headers)
    status, received = await line.read_head()
    assert (status, received.get("connection")) == (200, "close")
    assert "transfer-encoding" not in received
    assert check_stream(await line.read_to_end(), include_usage=False).text == "Hello"


async def test_a_whole_answer_to_a_client_without_chunks_has_a_length(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    await line.post(chat_body(stream=False), version="1.0")
    _, headers = await line.read_head()
    body = await line.read_to_end()
    assert len(body) == int(headers["content-length"])
    assert check_body(body).text == "Hello"


async def test_a_client_may_use_its_connection_again(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    line = await (await proxy()).dial()
    for _ in range(3):
        await line.post(chat_body())
        await line.read_head()
        assert check_stream(await line.read_chunks(), include_usage=False).text == "Hello"


# Slow clients


async def test_a_client_that_reads_nothing_is_dropped(proxy: StartProxy, agent: Agent) -> None:
    """The bytes that the agent could send are in the buffers of two sockets; the proxy holds none of them."""
    agent.replies("/send", Reply(Pouring("x" * 10_000, count=5000)))
    front = await proxy(send_timeout=0.3)
    tasks = asyncio.all_tasks()
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body())
    await agent.until(lambda: agent.runs and agent.runs[0].outcome == "left")
    assert agent.runs[0].sent < 25 * MEGABYTE
    await no_tasks_left(besides=tasks | agent.tasks)
    with contextlib.suppress(ConnectionResetError):  # the system may give up what was left to it, too
        assert b"[DONE]" not in await line.read_to_end()


async def test_a_client_that_takes_nothing_of_a_whole_answer_is_dropped(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(Pouring("x" * 50_000, count=400)))
    front = await proxy(send_timeout=0.3)
    tasks = asyncio.all_tasks()
    line = await front.dial(receive_buffer=4096)
    await line.post(chat_body(stream=False))
    await agent.until(lambda: agent.closed_sessions)
    await no_tasks_left(besides=tasks | agent.tasks)


@pytest.mark.slow
async def test_a_slow_client_gets_everything(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(Pouring("x" * 10_000, count=800)))
    line = await (await proxy(send_timeout=5)).dial(receive_buffer=16 * 1024)
    await line.post(chat_body(), version="1.0")
    await line.read_head()
    body = bytearray()
    while data := await line.read(16 * 1024):
        body += data
        if len(body) % 5 == 0:
            await asyncio.sleep(0.001)
    assert len(check_stream(bytes(body), include_usage=False).text) == 8_000_000


async def test_fifty_megabytes_arrive_whole(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", Reply(Pouring("x" * 50_000, count=1000)))
    received = await (await proxy()).chat()
    assert received.body.count(b"x" * 50_000) == 1000
    assert received.body.endswith(b"data: [DONE]\n\n")
