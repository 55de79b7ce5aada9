"""What happens to a run that waited, and to its session, after the request that continued it: the whole table."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.dialects.registry import DIALECTS
from oaicompat_proxy.server.sessions.continued_lease import ContinuedLease
from oaicompat_proxy.server.sessions.conversations import Conversations
from oaicompat_proxy.server.sessions.finalizer import Finalizer
from oaicompat_proxy.server.sessions.lease import Lease
from oaicompat_proxy.server.sessions.named_sessions import MemoryNames
from oaicompat_proxy.server.sessions.store import MemoryStore
from oaicompat_proxy.server.upstream.gateway_features import GatewayFeatures
from oaicompat_proxy.server.upstream.run_state import RunState

NOT_SENT, REJECTED, ACCEPTED, FINISHED = "not_sent", "rejected", "accepted", "finished"

EFFECTS = {
    # (state of the run, whether its session is persistent): what is done if the client has left
    (NOT_SENT, False): [],  # the run waits for another reply
    (NOT_SENT, True): [],
    (REJECTED, False): ["close"],
    (REJECTED, True): ["close"],
    (ACCEPTED, False): ["close"],
    (ACCEPTED, True): ["abort"],
    (FINISHED, False): [],  # the request that began the run closes the session
    (FINISHED, True): [],
}


@dataclass
class Run:
    state: RunState
    in_persistent_session: bool
    was_cut: bool = False

    def abort(self) -> None:
        self.was_cut = True


@dataclass
class Answer:
    ended: bool = False
    waits_for_client: bool = False
    denied_call: str | None = None


class Everything:
    """The gateway, the closer and the permit."""

    dialect = DIALECTS["agentick"]

    def __init__(self) -> None:
        self.features = GatewayFeatures()
        self.effects: list[str] = []
        self.released = 0

    async def call(self, call: Any) -> tuple[int, bytes]:
        self.effects.append("abort")
        return 200, b"{}"

    def close_soon(self, key: str, upstream: Any) -> None:
        self.effects.append("close" if key == "s1" else "close the named one")

    def release(self) -> None:
        self.released += 1


async def finalized(run: Run, answer: Answer, *, session: Lease | None = None) -> tuple[list[str], int]:
    everything: Any = Everything()
    keys = SigningKeys(Secrets([b"secret"]))
    store, names = MemoryStore(ttl=60, size=10), MemoryNames(size=10)
    finalizer = Finalizer(Config(demo=True), Conversations(keys, store, names, recognises=False), everything)
    continued: Any = run
    lease = ContinuedLease(continued, "s1", everything, everything, session, finalizer.finalize_continued)
    with lease:
        lease.answer = answer
    while finalizer.tasks:
        await asyncio.wait(finalizer.tasks)
    assert run.was_cut
    assert everything.released == 1
    return everything.effects, finalizer.cancelled


def test_the_table_is_whole() -> None:
    assert EFFECTS.keys() == {*itertools.product((NOT_SENT, REJECTED, ACCEPTED, FINISHED), (False, True))}


@pytest.mark.parametrize(("state", "persistent"), EFFECTS)
async def test_when_the_client_has_left(state: RunState, persistent: bool) -> None:
    effects, cancelled = await finalized(Run(state, persistent), Answer())
    assert effects == EFFECTS[state, persistent]
    assert cancelled == effects.count("close")


@pytest.mark.parametrize(("state", "persistent"), EFFECTS)
async def test_when_the_answer_is_complete_a_persistent_sessions_run_goes_on(state: RunState, persistent: bool) -> None:
    effects, _ = await finalized(Run(state, persistent), Answer(ended=True))
    assert effects == [each for each in EFFECTS[state, persistent] if each != "abort"]


@pytest.mark.parametrize(("state", "persistent"), EFFECTS)
async def test_when_the_agent_asks_again_nothing_is_stopped(state: RunState, persistent: bool) -> None:
    effects, _ = await finalized(Run(state, persistent), Answer(ended=True, waits_for_client=True))
    assert effects == []


@pytest.mark.parametrize(
    ("attributes", "effects"),
    [
        ({}, ["close the named one"]),
        ({"persistent": True}, []),
        ({"primary": True}, []),
    ],
)
async def test_a_named_session_that_was_claimed_and_not_stored_is_closed(
    attributes: dict[str, bool], effects: list[str]
) -> None:
    upstream: Any = Everything()
    session = Lease("", "named", upstream, history="last", **attributes)
    assert await finalized(Run(FINISHED, True), Answer(ended=True), session=session) == (effects, 0)
