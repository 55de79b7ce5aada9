"""Workers and replicas that share a real Redis: sessions, locks, questions; and what happens when it is gone.

The workers are processes, started as users start them, where that is what a test is about; elsewhere they are
applications of their own in this process.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from oaicompat_proxy.demo.gateway import STATE, create_gateway, serve_app
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.shared_storage import redis_client
from tests.support.conformance import check_error_body
from tests.support.paths import ROOT
from tests.support.proxy_harness import Chat, Front, RedisServer, StartFront, function, result, user
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import OPENING, Agent, Reply, closing, run, text
from tests.support.workers import running_worker
from tests.wire import test_responses_approvals as responses
from tests.wire.test_responses_approvals import NEW

pytest_plugins = ["tests.support.proxy_fixtures"]

RECOGNISE: dict[str, Any] = {"sessions": "recognise"}
StartWorkers = Callable[..., Awaitable[list[Front]]]


@pytest.fixture
async def workers(redis_server: RedisServer) -> AsyncIterator[StartWorkers]:
    """Starts two proxies, each a process, in front of one gateway; the arguments are their flags."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str, gateway: GatewaySettings | None = None, upstream: str = "") -> list[Front]:
            app = create_gateway(gateway or GatewaySettings(pace=0))
            url = upstream or await stack.enter_async_context(serve_app(app))
            flags = ("--upstream", url, "--redis", redis_server.url, "--port", "0", *flags)
            starting = (stack.enter_async_context(running_worker(flags, url, app[STATE])) for _ in "AB")
            return [await each for each in starting]

        yield start


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is gone is known to be gone soon."""
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.1)


@pytest.fixture
async def pair(front: StartFront, redis_server: RedisServer) -> tuple[Front, Front]:
    """Two applications that recognise, in front of one gateway."""
    first = await front(**RECOGNISE, redis=redis_server.url)
    return first, await front(beside=first, **RECOGNISE, redis=redis_server.url)


async def continue_at(there: Front, chat: Chat, question: str) -> None:
    """The client's next request, wherever the balancer sends it."""
    elsewhere = Chat(there)
    elsewhere.messages = chat.messages
    await elsewhere.say(question)


# Two processes


async def test_worker_b_recognises_a_conversation_that_worker_a_began(workers: StartWorkers) -> None:
    a, b = await workers("--sessions", "recognise")
    chat = Chat(a)
    await chat.say("When is high tide?")
    for worker in (b, a, b):
        await continue_at(worker, chat, "And then?")
        assert a.prompt() == "And then?", "only the new turn"
    assert len({each.session_key for each in a.runs}) == 1
    (session,) = a.gateway_state.sessions
    assert len(session.timeline) == 8


async def test_equal_openings_at_two_workers_are_nobodys(workers: StartWorkers) -> None:
    a, b = await workers("--sessions", "recognise")
    ada, bob = Chat(a), Chat(b)
    await ada.say("Hello")
    await bob.say("Hello")
    await a.until(lambda: not a.sessions)
    await continue_at(b, ada, "I am Ada.")
    await continue_at(a, bob, "I am Bob.")
    assert len({each.session_key for each in a.runs}) == 4
    assert "=== Conversation so far" in a.prompt()


async def test_a_name_is_the_same_session_at_every_worker_and_only_the_callers(workers: StartWorkers) -> None:
    a, b = await workers()
    for worker in (a, b):
        await worker.ask("Hi", name="harbour", key="ada")
        await worker.ask("Hi", name="harbour", key="bob")
    ada, bob, ada_again, bob_again = (each.session_key for each in a.runs)
    assert (ada, bob) == (ada_again, bob_again)
    assert ada != bob


async def test_a_session_that_is_busy_at_one_worker_is_busy_at_the_other(workers: StartWorkers) -> None:
    a, b = await workers("--session-wait", "0.3")
    line = await a.line("[[scenario:silent]]", name="harbour")
    await a.until(lambda: a.running)
    began = time.monotonic()
    received = await b.post("Hi", name="harbour")
    assert (received.status, check_error_body(received.body)["code"]) == (409, "session_busy")
    assert time.monotonic() - began < 2
    assert "Retry-After" in received.headers
    assert len(a.runs) == 1
    assert (await b.ask("Hi", name="another")).finish_reason == "stop"
    await a.close_all_sessions()
    assert (await line.read_head())[0] == 502, "somebody has ended its run"
    assert (await b.ask("Hi", name="harbour")).finish_reason == "stop"


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_request_at_one_worker_waits_for_the_run_at_the_other(
    workers: StartWorkers, agent: Agent, leaves: bool
) -> None:
    """Also when the reader of that run has left: it goes on to its end."""
    gate = asyncio.Event()
    agent.replies("/send", *2 * [Reply([])], Reply([*OPENING, text("One"), gate, *closing()]), Reply(run("Two")))
    a, b = await workers(upstream=agent.url)
    asked_for_apps = len(agent.exchanges)
    line = await a.line("Hi", name="harbour")
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    if leaves:
        await line.close()
    second = asyncio.create_task(b.ask("Hi", name="harbour"))
    await bystander(b)
    assert len(agent.runs) == 1
    assert not second.done()
    gate.set()
    assert (await second).text == "Two"
    assert [each.outcome for each in agent.runs] == ["played", "played"]
    assert asked_for_apps >= 2
    await line.close()


async def bystander(there: Front) -> None:
    """By the time this is answered, the worker has read the requests before it."""
    for _ in range(3):
        assert (await there.proxy.get("/healthz")).status == 200


async def test_a_question_that_one_worker_asked_is_answered_through_the_other(workers: StartWorkers) -> None:
    a, b = await workers("--confirmations", "ask")
    chat = Chat(a)
    ((call_id, name, _),) = (await chat.say("[[scenario:confirm]]")).tool_calls
    assert name == "confirm_tool_call"
    answer = await b.ask([*chat.messages, result(call_id, "yes")])
    assert answer.text == "It is over."
    await a.until(lambda: not a.sessions)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["items", "previous response"])
async def test_an_approval_response_resumes_that_run_at_any_worker_once(
    workers: StartWorkers, form: str, stream: bool
) -> None:
    """By the Responses API; several requests with one answer are sent at once."""
    a, b = await workers("--confirmations", "ask", gateway=NEW)
    first = await responses.ask(a, responses.CONFIRM, stream=stream)
    answer = responses.approval(responses.question_of(first))
    more: dict[str, Any] = {}
    given = [{"role": "user", "content": responses.CONFIRM}, *first.response["output"], answer]
    if form == "previous response":
        given, more = [answer], {"previous_response_id": first.id}
    received = await asyncio.gather(*(responses.post(each, given, stream=stream, **more) for each in (b, a, b, a)))
    check = check_response_stream if stream else check_response_body
    begun = [check(each.body) for each in received if each.status == 200]
    resumed = [each for each in begun if each.status != "failed"]  # a late refusal ends a stream that has begun
    assert resumed
    assert all("It is over." in listening.text for listening in resumed), (
        "a request that comes meanwhile reads the same run"
    )
    late = await responses.post(a, given, stream=stream, **more)
    for each in (*received, late):
        assert each.status == 200 or check_error_body(each.body)
    assert late.status != 200
    assert len(a.runs) == 1


# Sessions that two applications share


async def test_a_session_is_taken_by_one_of_many_who_ask_at_once(pair: tuple[Front, Front]) -> None:
    a, b = pair
    chat = Chat(a)
    await chat.say("Hello")
    continued = [*chat.messages, user("And?")]
    await asyncio.gather(*(each.ask(continued) for each in (a, b) * 5))
    keys = [each.session_key for each in a.runs]
    assert keys.count(keys[0]) == 2
    assert len(set(keys)) == 10
    a.keep_sessions()


async def test_a_clients_result_waits_for_the_run_at_another_worker(
    pair: tuple[Front, Front],
) -> None:
    a, b = pair
    chat = Chat(a, tools=[function("tide", port="string")])
    ((call_id, _, _),) = (await chat.say("[[scenario:client_tool_faked]]")).tool_calls
    answer = await b.ask([*chat.messages, result(call_id, "06:12")], tools=[function("tide", port="string")])
    assert "06:12" in answer.text
    assert len({each.session_key for each in a.runs}) == 1
    assert {each.readers for each in a.runs} == {1}
    a.keep_sessions()


async def test_conversations_under_a_name_go_on_in_any_process(workers: StartWorkers) -> None:
    """Also one at once beside the other; a client's lone message goes to the name's own session, or begins another."""
    one, other = await workers()
    own = await one.ask("Hi", name="harbour")
    assert own.text
    await other.ask("And?", name="harbour")
    brief, long = ({"role": "system", "content": f"Be {how}."} for how in ("brief", "long"))
    chats = [Chat(one, name="harbour"), Chat(other, name="harbour")]
    for chat, system in zip(chats, (brief, long), strict=True):
        chat.messages.append(system)
    await asyncio.gather(*(chat.say("When is high tide?") for chat in chats))
    for chat, system, there in zip(chats, (brief, long), (other, one), strict=True):
        await there.ask([*chat.messages, user(f"{system['content']} And low tide?")], name="harbour")
        assert there.prompt() == f"{system['content']} And low tide?", "only what is new"
    await other.ask("Another chat", name="harbour")
    keys = [run.session_key for run in one.runs]
    assert keys[0] == keys[1]
    assert {*keys[2:4]} == {*keys[4:6]}
    assert len({keys[0], *keys[2:4], keys[6]}) == 4
    one.keep_sessions()


async def test_what_nobody_came_back_to_is_closed_once_by_any_worker(
    front: StartFront, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.sessions.sessions.SWEEP_INTERVAL", 0.02)
    a = await front(**RECOGNISE, session_ttl=1, redis=redis_server.url)
    await front(beside=a, **RECOGNISE, session_ttl=1, redis=redis_server.url)
    chat = Chat(a)
    await chat.say("When is high tide?")
    await a.at_rest()
    closed = [body for path, body in a.gateway_state.requests if path == "/invoke" and b'"close"' in body]
    assert len(closed) == 1
    await chat.say("And low tide?")
    assert "=== Conversation so far" in a.prompt()
    await a.at_rest()


async def test_a_worker_that_ends_leaves_its_sessions_to_the_others(
    front: StartFront, redis_server: RedisServer
) -> None:
    a = await front(**RECOGNISE, redis=redis_server.url)
    b = await front(beside=a, **RECOGNISE, redis=redis_server.url)
    chat = Chat(a)
    await chat.say("When is high tide?")
    await a.proxy.app.cleanup()
    await continue_at(b, chat, "And low tide?")
    assert len({each.session_key for each in a.runs}) == 1
    a.keep_sessions()


# Redis is gone


@pytest.fixture
def no_stack_traces(caplog: pytest.LogCaptureFixture) -> Callable[[], bool]:
    caplog.set_level(logging.INFO)
    return lambda: not [record for record in caplog.records if record.exc_info or record.name == "asyncio"]


def stopped(server: RedisServer) -> None:
    server.stop()


def frozen(server: RedisServer) -> None:
    server.signal(signal.SIGSTOP)


gone_in_any_way = pytest.mark.parametrize("gone", [stopped, frozen])


@pytest.mark.usefixtures("quick")
@gone_in_any_way
@pytest.mark.parametrize("stream", [True, False])
async def test_without_redis_a_conversation_goes_on_in_a_fresh_session(
    front: StartFront,
    own_redis: RedisServer,
    gone: Callable[[RedisServer], None],
    stream: bool,
    no_stack_traces: Callable[[], bool],
) -> None:
    """The whole conversation is sent again, so only time is lost."""
    there = await front(**RECOGNISE, redis=own_redis.url)
    chat = Chat(there, stream=stream)
    await chat.say("When is high tide?")
    there.keep_sessions()
    gone(own_redis)
    async with asyncio.timeout(5):
        for question in ("And low tide?", "Thanks."):
            answer = await chat.say(question)
            assert answer.error is None
            assert there.prompt().endswith(question)
            assert "=== Conversation so far" in there.prompt()
    assert len({each.session_key for each in there.runs}) == 3
    await there.at_rest()
    assert no_stack_traces()


@pytest.mark.usefixtures("quick")
@gone_in_any_way
@pytest.mark.parametrize("stream", [True, False])
async def test_without_redis_a_named_session_is_refused_clearly(
    front: StartFront,
    own_redis: RedisServer,
    gone: Callable[[RedisServer], None],
    stream: bool,
    no_stack_traces: Callable[[], bool],
) -> None:
    """Whether the session is busy is not known, and a second run in it would spoil the first. Nothing was run."""
    there = await front(redis=own_redis.url)
    await there.ask("Hi", name="harbour")
    there.keep_sessions()
    gone(own_redis)
    async with asyncio.timeout(5):
        received = await there.post("And?", name="harbour", stream=stream)
    assert (received.status, check_error_body(received.body)["code"]) == (503, "sessions_unavailable")
    assert float(received.headers["Retry-After"]) > 0
    assert received.headers["x-should-retry"] == "true"
    assert len(there.runs) == 1
    assert (await there.ask("Hi")).finish_reason == "stop", "requests without a session need no Redis"
    assert no_stack_traces()


@pytest.mark.usefixtures("quick")
async def test_when_redis_is_back_all_is_as_before(front: StartFront, own_redis: RedisServer) -> None:
    there = await front(**RECOGNISE, redis=own_redis.url)
    own_redis.stop()
    assert await there.refused("Hi", name="harbour") == (503, "sessions_unavailable")
    own_redis.start()
    assert (await there.ask("Hi", name="harbour")).finish_reason == "stop"
    chat = Chat(there)
    await chat.say("When is high tide?")
    await chat.say("And low tide?")
    assert there.prompt() == "And low tide?"
    there.keep_sessions()


@pytest.mark.usefixtures("quick")
async def test_a_run_under_way_does_not_need_redis(front: StartFront, own_redis: RedisServer) -> None:
    there = await front(GatewaySettings(pace=0.01), **RECOGNISE, redis=own_redis.url)
    named = await there.line("[[scenario:answer]]", name="harbour")
    plain = await there.line("[[scenario:answer]]")
    await there.until(lambda: there.running == 2)
    own_redis.stop()
    for line in (named, plain):
        assert b'"finish_reason":"stop"' in await line.read_until(b"[DONE]")
    there.keep_sessions()


@pytest.mark.usefixtures("quick")
async def test_a_proxy_starts_without_its_redis(front: StartFront, own_redis: RedisServer) -> None:
    own_redis.stop()
    there = await front(**RECOGNISE, redis=own_redis.url)
    assert (await there.ask("Hi")).finish_reason == "stop"
    await there.at_rest()


@pytest.mark.usefixtures("quick")
async def test_looking_for_old_sessions_goes_on_when_redis_is_back(
    front: StartFront, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.sessions.sessions.SWEEP_INTERVAL", 0.02)
    there = await front(**RECOGNISE, session_ttl=1, redis=own_redis.url)
    own_redis.stop()
    await there.ask("Hi")
    own_redis.start()
    await there.ask("Hi")
    await there.at_rest()


async def test_an_address_that_cannot_be_is_one_line_for_who_starts_the_proxy() -> None:
    flags = ["--demo", "--port", "0", "--redis", "nonsense"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oaicompat_proxy", *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert b"--redis" in stderr
    assert b"Traceback" not in stderr


def test_the_ci_machine_gets_a_real_redis() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "command -v redis-server" in script
    assert "apt-get install" in script


def test_what_to_do_without_redis_is_documented() -> None:
    """Then one worker has to get all requests of a session."""
    assert "hash $http_x_session_id" in (ROOT / "oaicompat_proxy" / "server" / "sessions" / "README.md").read_text()
