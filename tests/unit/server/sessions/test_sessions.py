"""What becomes of a session when its request is over: the whole table, with everything around it made up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, get_args

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.answer import TextPart
from oaicompat_proxy.core.caller import Caller
from oaicompat_proxy.core.errors import (
    AgentError,
    Overloaded,
    ProxyError,
    SessionBusy,
    StoreUnavailable,
    UpstreamConnectTimeout,
    UpstreamInterrupted,
    UpstreamUnreachable,
)
from oaicompat_proxy.core.message import Message, Text
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.registry import DIALECTS
from oaicompat_proxy.server.sessions.lease import Lease, SessionRequest
from oaicompat_proxy.server.sessions.locks import MemoryLocks, OnLost
from oaicompat_proxy.server.sessions.named_sessions import MemoryNames
from oaicompat_proxy.server.sessions.run_limiter import RunLimiter
from oaicompat_proxy.server.sessions.run_start import start
from oaicompat_proxy.server.sessions.sessions import Sessions
from oaicompat_proxy.server.sessions.store import MemoryStore, SessionStore
from oaicompat_proxy.server.upstream.gateway_features import GatewayFeatures
from oaicompat_proxy.server.upstream.run_state import RunState

TURN = Turn((Text("Hi"),))
HELLO = Message("user", (Text("Hi"),))
ANSWER = Message("assistant", (Text("Hello"),))
AGAIN = Message("user", (Text("And?"),))


@dataclass
class Run:
    """A run of which a test says how far it is."""

    state: RunState = "accepted"
    fully_read: bool = False
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    fails: ProxyError | None = None
    was_cut: bool = False

    async def open(self) -> None:
        self.state = "accepted"

    async def drain(self) -> None:
        await self.ends.wait()
        if self.fails is not None:
            raise self.fails
        self.state = "finished"

    async def finish(self) -> None: ...

    def abort(self) -> None:
        self.was_cut = True


class Upstream:
    dialect = DIALECTS["agentick"]
    features = GatewayFeatures()

    def __init__(self) -> None:
        self.next = Run()
        self.features = GatewayFeatures()
        self.features.abort.update(works=False)

    def with_credentials_of(self, caller: Caller) -> Self:
        return self

    def run(self, call: Any, run_id: str) -> Run:
        return self.next


class Closer:
    """Records the closed sessions, and their order with the locks."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def remember(self, key: str, upstream: Upstream) -> None: ...

    def close_soon(self, key: str, upstream: Upstream | None = None) -> None:
        self._events.append("close")

    async def close(self, key: str, upstream: Upstream) -> None:
        self._events.append("close")

    async def shutdown(self) -> None: ...


class Locks(MemoryLocks):
    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self._events = events

    async def acquire(
        self, key: str, *, wait: float, on_lost: OnLost, is_new: bool = False
    ) -> Callable[[], Awaitable[None]]:
        release = await super().acquire(key, wait=wait, on_lost=on_lost, is_new=is_new)

        async def released() -> None:
            self._events.append("release")
            await release()

        return released


class Setup:
    """Sessions, and everything around them."""

    def __init__(self, *, recognise: bool, store: SessionStore | None = None, **settings: Any) -> None:
        self.events: list[str] = []
        self.upstream = Upstream()
        self.store = store or MemoryStore(ttl=60, size=10)
        self.names = MemoryNames(size=10)
        self.locks = Locks(self.events)
        settings = {"sessions": "recognise" if recognise else "fresh", "session_wait": 0.01, **settings}
        config = Config(**{"demo": True, **settings})
        self.limiter = RunLimiter(config)
        self.sessions = Sessions(
            self.upstream,  # type: ignore[arg-type]
            config,
            SigningKeys(Secrets([b"secret"])),
            limiter=self.limiter,
            closer=Closer(self.events),  # type: ignore[arg-type]
            locks=self.locks,
            store=self.store,
            names=self.names,
        )

    async def finalized(self) -> list[str]:
        """The closed sessions and released locks, after all background work."""
        while self.sessions.finalizing:
            await asyncio.wait(self.sessions.finalizing)
        return self.events


def wanted(*messages: Message, name: str = "", app: str = "") -> SessionRequest:
    return SessionRequest(app, Caller("ada", "ada"), "owl", messages or (HELLO,), name)


async def lease_of(setup: Setup, want: SessionRequest, error: BaseException | None = None) -> Lease:
    """A request that is over; with an error, after it has begun a run."""
    lease = await setup.sessions.lease(want)
    suppressed = [type(error)] if error is not None else []
    with contextlib.suppress(*suppressed), lease:
        if error is not None:
            start(lease, TURN, approves=False, on_restart=lambda run: None)
            raise error
    return lease


async def answered(setup: Setup, want: SessionRequest, text: str = "Hello") -> Lease:
    """A request with a good answer that is remembered."""
    setup.upstream.next = Run()
    with await setup.sessions.lease(want) as lease:
        start(lease, TURN, approves=False, on_restart=lambda run: None)
        fingerprint = setup.sessions.new_fingerprint(want)
        assert fingerprint is not None
        fingerprint.add(TextPart(text))
        await setup.sessions.store(lease, fingerprint)
        setup.upstream.next.state = "finished"
    await setup.finalized()
    return lease


@pytest.fixture
async def plain() -> AsyncIterator[Setup]:
    setup = Setup(recognise=False)
    yield setup
    await setup.sessions.shutdown()


@pytest.fixture
async def recognising() -> AsyncIterator[Setup]:
    setup = Setup(recognise=True)
    yield setup
    await setup.sessions.shutdown()


# Which session


async def test_without_a_name_each_lease_is_another_session(plain: Setup) -> None:
    keys = [(await lease_of(plain, wanted())).key for _ in range(3)]
    assert len(set(keys)) == 3


async def test_a_name_is_the_same_session_in_the_same_app(plain: Setup) -> None:
    leases = [await lease_of(plain, wanted(name="harbour", app=app)) for app in ("", "demo", "")]
    default, demo, again = (lease.key for lease in leases)
    assert default == again
    assert demo.startswith("demo:oc-")
    assert ":" not in default
    assert {lease.history for lease in leases} == {"last"}
    assert all(lease.persistent for lease in leases)


async def test_what_is_remembered_is_leased_again_with_the_new_turn_only(recognising: Setup) -> None:
    first = await answered(recognising, wanted(HELLO))
    second = await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN))
    assert (second.key, second.history) == (first.key, "last")


async def test_a_conversation_without_an_answer_is_not_looked_up(recognising: Setup) -> None:
    await answered(recognising, wanted(HELLO))
    lease = await lease_of(recognising, wanted(HELLO, AGAIN))
    assert (lease.history, lease.matched_fingerprint) == ("fold", None)


def test_only_what_may_be_continued_is_followed(plain: Setup, recognising: Setup) -> None:
    assert plain.sessions.new_fingerprint(wanted()) is None
    assert plain.sessions.new_fingerprint(wanted(name="harbour")) is not None
    assert recognising.sessions.new_fingerprint(wanted()) is not None
    assert recognising.sessions.new_fingerprint(replace(wanted(name="harbour"), key="s1")) is None


# What becomes of it: (kind of session, how far its run was) → what is done, in this order

NO_RUN = "no run"
OUTCOMES = {
    ("fresh", NO_RUN): [],
    ("fresh", "not_sent"): [],
    ("fresh", "sent"): ["close"],
    ("fresh", "rejected"): ["close"],
    ("fresh", "finished"): ["close"],
    ("fresh", "accepted"): ["close"],
    ("named", NO_RUN): ["release"],
    ("named", "not_sent"): ["release"],
    ("named", "sent"): [],
    ("named", "rejected"): ["release"],
    ("named", "finished"): ["release"],
    ("named", "accepted"): [],
    ("recognised", NO_RUN): ["release"],
    ("recognised", "not_sent"): ["release"],
    ("recognised", "sent"): ["close", "release"],
    ("recognised", "rejected"): ["release"],
    ("recognised", "finished"): ["release"],
    ("recognised", "accepted"): ["close", "release"],
}


@pytest.mark.parametrize(("kind", "state"), OUTCOMES)
@pytest.mark.parametrize("error", [None, AgentError("exploded"), asyncio.CancelledError()])
async def test_when_a_request_is_over(
    recognising: Setup, kind: str, state: RunState | str, error: BaseException | None
) -> None:
    setup = recognising
    if kind == "recognised":
        await answered(setup, wanted(HELLO))
        setup.events.clear()
    want = wanted(HELLO, name="harbour") if kind == "named" else wanted(HELLO, ANSWER, AGAIN)
    run = setup.upstream.next = Run(state) if state in get_args(RunState) else Run()
    suppressed = [type(error)] if error is not None else []
    with contextlib.suppress(*suppressed), await setup.sessions.lease(want) as lease:
        assert (lease.matched_fingerprint is not None) == (kind == "recognised")
        if state != NO_RUN:
            start(lease, TURN, approves=False, on_restart=lambda run: None)
        if error is not None:
            raise error
    await asyncio.sleep(0.01)
    assert setup.events == OUTCOMES[kind, state]
    goes_on = state in ("sent", "accepted")
    assert run.was_cut == (goes_on and kind != "named")
    if kind == "named" and goes_on:
        run.ends.set()
        assert await setup.finalized() == ["release"], "held until it is over"


@pytest.mark.parametrize("error", [UpstreamUnreachable("x"), UpstreamConnectTimeout("x")])
@pytest.mark.parametrize("name", ["", "harbour"])
async def test_what_never_reached_the_gateway_is_not_closed(plain: Setup, error: ProxyError, name: str) -> None:
    plain.upstream.next = Run("not_sent")
    await lease_of(plain, wanted(name=name), error)
    assert await plain.finalized() == (["release"] if name else [])


@pytest.mark.parametrize("fails", [UpstreamInterrupted("x"), AgentError("x")])
async def test_a_run_that_is_lost_sight_of_is_stopped_before_the_next_gets_in(plain: Setup, fails: ProxyError) -> None:
    plain.upstream.next = Run(fails=fails)
    with await plain.sessions.lease(wanted(name="harbour")) as lease:
        run = start(lease, TURN, approves=False, on_restart=lambda run: None)
    run.ends.set()  # type: ignore[attr-defined]
    assert await plain.finalized() == ["close", "release"]


async def test_a_run_without_a_reader_has_a_time_limit() -> None:
    setup = Setup(recognise=False, session_drain=0.01)
    with await setup.sessions.lease(wanted(name="harbour")) as lease:
        start(lease, TURN, approves=False, on_restart=lambda run: None)
    assert await setup.finalized() == ["close", "release"]
    assert setup.upstream.next.was_cut


async def test_a_run_that_waits_for_the_client_is_held_longer() -> None:
    setup = Setup(recognise=False, session_drain=0.01, confirmation_ttl=60)
    with await setup.sessions.lease(wanted()) as lease:
        run = start(lease, TURN, approves=False, on_restart=lambda run: None)
        lease.awaits_client = True
    await asyncio.sleep(0.05)
    assert setup.events == []
    run.ends.set()  # type: ignore[attr-defined]
    assert await setup.finalized() == ["close"]


async def test_at_the_end_of_the_process_nobody_is_waited_for() -> None:
    setup = Setup(recognise=False)
    with await setup.sessions.lease(wanted(name="harbour")) as lease:
        start(lease, TURN, approves=False, on_restart=lambda run: None)
    async with asyncio.timeout(1):
        await setup.sessions.shutdown()
    assert setup.events == ["release"]


# Several conversations under one name

SYSTEM = Message("system", (Text("Be brief."),))
WHOLE = (SYSTEM, HELLO)


async def test_a_name_has_a_session_for_each_conversation(plain: Setup) -> None:
    first = await answered(plain, wanted(*WHOLE, name="harbour"))
    title = await answered(plain, wanted(Message("system", (Text("A title."),)), HELLO, name="harbour"))
    assert first.key != title.key
    assert (first.history, title.history) == ("fold", "fold")
    again = await lease_of(plain, wanted(*WHOLE, ANSWER, AGAIN, name="harbour"))
    assert (again.key, again.history) == (first.key, "last")
    await plain.finalized()
    forked = await lease_of(plain, wanted(*WHOLE, ANSWER, HELLO, name="harbour"))
    assert forked.history == "last", "what was not used is found again"
    assert plain.events.count("close") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"name": "quay"},
        {"name": ""},
        {"model": "wren"},
        {"app": "wren"},
        {"caller": Caller("bob", "bob")},
        {"messages": (HELLO, ANSWER, AGAIN)},
        {"messages": (*WHOLE, Message("assistant", (Text("Good day"),)), AGAIN)},
        {"messages": (Message("system", (Text("Be long."),)), HELLO, ANSWER, AGAIN)},
        {"messages": (*WHOLE, ANSWER)},
    ],
)
async def test_any_other_conversation_gets_a_session_of_its_own_at_once(plain: Setup, change: dict[str, Any]) -> None:
    first = await answered(plain, wanted(*WHOLE, name="harbour"))
    with await plain.sessions.lease(wanted(*WHOLE, ANSWER, AGAIN, name="harbour")):
        other = replace(wanted(*WHOLE, ANSWER, AGAIN, name="harbour"), **change)
        with await plain.sessions.lease(other) as lease:
            assert lease.key != first.key
            assert (lease.history, lease.locked) == ("fold", False)


async def test_one_conversation_that_goes_two_ways_has_two_sessions(plain: Setup) -> None:
    first = await answered(plain, wanted(*WHOLE, name="harbour"))
    two_ways = wanted(*WHOLE, ANSWER, AGAIN, name="harbour"), wanted(*WHOLE, ANSWER, HELLO, name="harbour")
    with await plain.sessions.lease(two_ways[0]) as one, await plain.sessions.lease(two_ways[1]) as other:
        assert one.key == first.key != other.key
        assert (one.history, other.history) == ("last", "fold")


async def test_the_same_answer_twice_is_continued_in_the_newer_session(plain: Setup) -> None:
    older = await answered(plain, wanted(*WHOLE, name="harbour"))
    newer = await answered(plain, wanted(*WHOLE, name="harbour"))
    assert older.key != newer.key
    assert plain.events.count("close") == 1
    assert (await lease_of(plain, wanted(*WHOLE, ANSWER, AGAIN, name="harbour"))).key == newer.key


async def test_what_only_a_user_says_goes_to_the_names_own_session(plain: Setup) -> None:
    first = await answered(plain, wanted(HELLO, name="harbour"))
    second = await answered(plain, wanted(AGAIN, name="harbour"))
    assert (first.key, first.history) == (second.key, second.history) == (first.key, "last")
    assert first.primary
    assert first.exact
    assert not second.exact


async def test_the_own_session_continues_what_it_has_answered_exactly(plain: Setup) -> None:
    first = await answered(plain, wanted(HELLO, name="harbour"))
    second = await answered(plain, wanted(HELLO, ANSWER, AGAIN, name="harbour"))
    assert (first.key, second.history) == (second.key, "last")
    edited = Message("assistant", (Text("Good day"),))
    third = await lease_of(plain, wanted(HELLO, ANSWER, AGAIN, edited, AGAIN, name="harbour"))
    assert third.key != first.key, "its last answer was another one"


async def test_the_own_session_that_heard_something_else_since_is_not_exact(plain: Setup) -> None:
    """Only a user's message, such as a request for a title: equal ones come from many clients."""
    first = await answered(plain, wanted(HELLO, name="harbour"))
    await answered(plain, wanted(Message("user", (Text("Find a title."),)), name="harbour"))
    second = await lease_of(plain, wanted(HELLO, ANSWER, AGAIN, name="harbour"))
    assert second.key != first.key
    assert second.history == "fold"


async def test_a_users_message_begins_another_conversation(plain: Setup) -> None:
    own = await answered(plain, wanted(HELLO, name="harbour"))
    await answered(plain, wanted(*WHOLE, name="harbour"))
    begun = await lease_of(plain, wanted(HELLO, name="harbour"))
    assert begun.key != own.key
    assert begun.history == "fold"
    assert (await lease_of(plain, replace(wanted(HELLO, name="harbour"), app="wren"))).history == "fold"
    assert (await lease_of(plain, wanted(HELLO, name="quay"))).primary


async def test_the_own_session_is_found_where_it_was_after_a_failure(plain: Setup) -> None:
    first = await answered(plain, wanted(HELLO, name="harbour"))
    for _ in range(2):
        plain.upstream.next = Run("finished")
        lease = await lease_of(plain, wanted(HELLO, ANSWER, AGAIN, name="harbour"), error=AgentError("exploded"))
        assert lease.key == first.key
        assert "close" not in await plain.finalized()


@pytest.mark.parametrize("name", ["", "harbour"])
async def test_a_run_whose_answer_nobody_took_leaves_its_session_unknown(recognising: Setup, name: str) -> None:
    """The session has one turn more than the client knows of."""
    first = await answered(recognising, wanted(*WHOLE, name=name))
    with await recognising.sessions.lease(wanted(*WHOLE, ANSWER, AGAIN, name=name)) as lease:
        assert lease.key == first.key
        start(lease, TURN, approves=False, on_restart=lambda run: None)
        recognising.upstream.next.state, lease.succeeded = "finished", True
    assert (await recognising.finalized())[-2:] == ["close", "release"]
    assert (await lease_of(recognising, wanted(*WHOLE, ANSWER, AGAIN, name=name))).key != first.key


async def test_what_waits_for_its_session_is_counted_and_bounded() -> None:
    setup = Setup(recognise=False, session_wait=5, max_waiting=2, max_waiting_bytes=100)
    with await setup.sessions.lease(wanted(name="harbour")):
        waiting = [
            asyncio.create_task(setup.sessions.lease(replace(wanted(name="harbour"), size=40))) for _ in range(2)
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        assert setup.limiter.waiting == 2
        with pytest.raises(Overloaded):
            await setup.sessions.lease(wanted(name="harbour"))
        waiting.pop().cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await setup.sessions.lease(replace(wanted(name="harbour"), size=61))
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
    assert setup.limiter.waiting == 0
    await setup.sessions.shutdown()


@pytest.mark.parametrize("error", [UpstreamUnreachable("x"), UpstreamConnectTimeout("x")])
async def test_what_never_reached_the_own_session_is_no_use_of_it(plain: Setup, error: ProxyError) -> None:
    """Else the next one would look like a loss of the earlier messages."""
    for _ in range(2):
        plain.upstream.next = Run("not_sent")
        lease = await lease_of(plain, wanted(HELLO, name="harbour"), error)
        await plain.finalized()
        assert lease.first
    await answered(plain, wanted(HELLO, name="harbour"))
    assert not (await lease_of(plain, wanted(HELLO, name="harbour"))).first


# Recognised sessions in trouble


async def test_a_session_whose_run_failed_is_found_again(recognising: Setup) -> None:
    first = await answered(recognising, wanted(HELLO))
    for _ in range(3):
        recognising.upstream.next = Run("finished")
        lease = await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN), error=AgentError("exploded"))
        assert lease.key == first.key
        await recognising.finalized()


async def test_a_session_that_went_on_is_not_found_where_it_was(recognising: Setup) -> None:
    """Also if it could not be kept where it is now: its history has more in it than its old place says."""
    other = await answered(recognising, wanted(HELLO, ANSWER, AGAIN))
    first = await answered(recognising, wanted(HELLO))
    lease = await answered(recognising, wanted(HELLO, ANSWER, AGAIN))
    assert lease.key == first.key != other.key, "it was continued, and came to where the other is"
    assert recognising.events.count("close") == 2, "so the two cannot be distinguished"
    again = await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN))
    assert again.matched_fingerprint is None


async def test_a_session_that_is_busy_is_found_again_later(recognising: Setup) -> None:
    first = await answered(recognising, wanted(HELLO))
    release = await recognising.locks.acquire(first.key, wait=0, on_lost=first.on_lock_lost)
    for _ in range(3):
        with pytest.raises(SessionBusy):
            await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN))
        await recognising.finalized()
    await release()
    assert (await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN))).key == first.key


class Broken:
    """A store that cannot be reached."""

    async def put(self, fingerprint: str, session: str, *, named: bool = False) -> list[str]:
        raise StoreUnavailable("gone")

    async def count(self) -> int:
        raise StoreUnavailable("gone")

    async def claim(self, fingerprint: str) -> str | None:
        raise StoreUnavailable("gone")

    async def expire(self) -> list[str]:
        raise StoreUnavailable("gone")

    async def clear(self) -> list[str]:
        return []


async def test_without_its_store_a_conversation_goes_on_in_a_fresh_session() -> None:
    setup = Setup(recognise=True, store=Broken())
    lease = await answered(setup, wanted(HELLO, ANSWER, AGAIN))
    assert (lease.history, lease.persistent) == ("fold", False)
    assert setup.events.count("close") == 1


async def test_a_session_that_cannot_be_put_back_is_closed(recognising: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later request could find the session."""
    await answered(recognising, wanted(HELLO))
    recognising.events.clear()
    monkeypatch.setattr(recognising.store, "put", Broken().put)
    recognising.upstream.next = Run("finished")
    await lease_of(recognising, wanted(HELLO, ANSWER, AGAIN), error=AgentError("exploded"))
    assert await recognising.finalized() == ["close", "release"]


async def test_the_sweep_survives_a_store_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oaicompat_proxy.server.sessions.sessions.SWEEP_INTERVAL", 0.001)
    store = MemoryStore(ttl=0, size=10)
    setup = Setup(recognise=True, store=store)
    expire = store.expire
    monkeypatch.setattr(store, "expire", Broken().expire)
    sweeping = asyncio.create_task(setup.sessions.sweep())
    await asyncio.sleep(0.02)
    assert not sweeping.done()
    await store.put("d1", "s1")
    monkeypatch.setattr(store, "expire", expire)
    await asyncio.sleep(0.05)
    assert setup.events == ["close"]
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def test_the_sweep_ends_although_a_cancellation_was_lost(plain: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a client of Redis's may do that waits for an answer with a time limit."""
    monkeypatch.setattr("oaicompat_proxy.server.sessions.sessions.SWEEP_INTERVAL", 0.001)
    asked = asyncio.Event()

    async def swallow() -> list[str]:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    monkeypatch.setattr(plain.store, "expire", swallow)
    sweeping = asyncio.create_task(plain.sessions.sweep())
    await asked.wait()
    sweeping.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait([sweeping])


def test_the_table_is_whole() -> None:
    states = {NO_RUN, *get_args(RunState)} - {"waiting", "succeeded"}
    assert OUTCOMES.keys() == {*itertools.product(("fresh", "named", "recognised"), states)}


# Where no gateway keeps sessions


@pytest.fixture
def alone() -> Setup:
    """In front of an agent itself."""
    setup = Setup(recognise=False)
    setup.upstream.dialect = DIALECTS["ag-ui"]
    return setup


@pytest.mark.parametrize("name", ["", "harbour"])
async def test_an_agent_without_a_gateway_gets_everything_and_keeps_nothing(alone: Setup, name: str) -> None:
    with await alone.sessions.lease(wanted(HELLO, ANSWER, AGAIN, name=name, app="pilot")) as lease:
        assert (lease.app, lease.history, lease.persistent) == ("pilot", "full", False)
        assert lease.locked == bool(name)


async def test_its_run_ends_with_its_reader(alone: Setup) -> None:
    run = alone.upstream.next = Run()
    with contextlib.suppress(asyncio.CancelledError), await alone.sessions.lease(wanted(name="harbour")) as lease:
        start(lease, TURN, approves=False, on_restart=lambda run: None)
        raise asyncio.CancelledError
    assert run.was_cut
    assert "release" in await alone.finalized()


async def test_what_waits_goes_on_in_its_own_thread(alone: Setup) -> None:
    want = replace(wanted(HELLO, name="harbour"), key="oc-before")
    with await alone.sessions.lease(want) as lease:
        assert lease.key == "oc-before"
        with pytest.raises(SessionBusy):
            await alone.sessions.lease(want)


@pytest.mark.parametrize("before", [(), (SYSTEM,)])
async def test_a_thread_goes_on_after_a_question(alone: Setup, before: tuple[Message, ...]) -> None:
    """The request with the answer names the thread that waits; the next one finds it by its conversation."""

    def want(*messages: Message, key: str = "") -> SessionRequest:
        return replace(wanted(*before, *messages, name="harbour"), keeps_threads=True, key=key)

    first = await answered(alone, want(HELLO))
    second = await answered(alone, want(HELLO, ANSWER, AGAIN, key=first.key))
    assert (second.key, second.history) == (first.key, "last")
    third = await lease_of(alone, want(HELLO, ANSWER, AGAIN, ANSWER, HELLO))
    assert (third.key, third.history) == (first.key, "last")


async def test_a_thread_that_was_asked_about_something_else_is_not_exact(alone: Setup) -> None:
    first = await answered(alone, replace(wanted(*WHOLE, name="harbour"), keeps_threads=True))
    edited = replace(wanted(HELLO, ANSWER, AGAIN, name="harbour"), keeps_threads=True, key=first.key)
    assert (await lease_of(alone, edited)).exact is False
