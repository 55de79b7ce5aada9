"""The session after its request: every cell of the table, by its effects on locks, closing and the store."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, get_args

import pytest

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.dialects.registry import DIALECTS
from oaicompat_proxy.server.sessions.after_request import AFTER_REQUEST, CANCELLED, LeaseKind
from oaicompat_proxy.server.sessions.conversations import Conversations
from oaicompat_proxy.server.sessions.finalizer import Finalizer
from oaicompat_proxy.server.sessions.lease import Lease
from oaicompat_proxy.server.sessions.named_sessions import MemoryNames
from oaicompat_proxy.server.sessions.store import MemoryStore
from oaicompat_proxy.server.upstream.gateway_features import GatewayFeatures
from oaicompat_proxy.server.upstream.run_state import RunState

TEMPORARY, CONTINUED, PERSISTENT, WITHOUT_GATEWAY = get_args(LeaseKind)
NOT_SENT, SENT, REJECTED, ACCEPTED, WAITING, FINISHED, SUCCEEDED = get_args(RunState)

EFFECTS = {
    (TEMPORARY, NOT_SENT): ["permit", "unlock"],
    (TEMPORARY, SENT): ["permit", "answered", "disconnect", "close", "unlock"],
    (TEMPORARY, REJECTED): ["permit", "close", "unlock"],
    (TEMPORARY, ACCEPTED): ["permit", "disconnect", "close", "unlock"],
    (TEMPORARY, WAITING): ["permit", "drain", "finish", "disconnect", "close", "unlock"],
    (TEMPORARY, FINISHED): ["permit", "finish", "close", "unlock"],
    (TEMPORARY, SUCCEEDED): ["permit", "finish", "close", "unlock"],
    (CONTINUED, NOT_SENT): ["permit", "store", "unlock"],
    (CONTINUED, SENT): ["permit", "answered", "disconnect", "close", "unlock"],
    (CONTINUED, REJECTED): ["permit", "store", "unlock"],
    (CONTINUED, ACCEPTED): ["disconnect", "permit", "close", "unlock"],
    (CONTINUED, WAITING): ["permit", "drain", "finish", "disconnect", "close", "unlock"],
    (CONTINUED, FINISHED): ["permit", "finish", "store", "unlock"],
    (CONTINUED, SUCCEEDED): ["permit", "finish", "close", "unlock"],
    (PERSISTENT, NOT_SENT): ["permit", "unlock"],
    (PERSISTENT, SENT): ["drain", "finish", "disconnect", "permit", "unlock"],
    (PERSISTENT, REJECTED): ["permit", "unlock"],
    (PERSISTENT, ACCEPTED): ["drain", "finish", "disconnect", "permit", "unlock"],
    (PERSISTENT, WAITING): ["permit", "drain", "finish", "disconnect", "unlock"],
    (PERSISTENT, FINISHED): ["permit", "finish", "unlock"],
    (PERSISTENT, SUCCEEDED): ["permit", "finish", "unlock"],
    (WITHOUT_GATEWAY, NOT_SENT): ["permit", "unlock"],
    (WITHOUT_GATEWAY, SENT): ["permit", "disconnect", "close", "unlock"],
    (WITHOUT_GATEWAY, REJECTED): ["permit", "unlock"],
    (WITHOUT_GATEWAY, ACCEPTED): ["permit", "disconnect", "close", "unlock"],
    (WITHOUT_GATEWAY, WAITING): ["permit", "drain", "finish", "disconnect", "close", "unlock"],
    (WITHOUT_GATEWAY, FINISHED): ["permit", "finish", "unlock"],
    (WITHOUT_GATEWAY, SUCCEEDED): ["permit", "finish", "unlock"],
}
"""In this order. The gateway cannot abort."""


class Run:
    def __init__(self, state: RunState, effects: list[str]) -> None:
        self.state = state
        self.fully_read = False
        self._effects = effects

    async def open(self) -> None:
        if self.state is SENT:
            self._effects.append("answered")
        self.state = ACCEPTED

    async def drain(self) -> None:
        self._effects.append("drain")
        self.state = FINISHED

    async def finish(self) -> None:
        self._effects.append("finish")

    def abort(self) -> None:
        self._effects.append("disconnect")


class Upstream:
    def __init__(self, dialect: str) -> None:
        self.dialect = DIALECTS[dialect]
        self.features = GatewayFeatures()
        self.features.abort.update(works=False)


class Closer:
    def __init__(self, effects: list[str]) -> None:
        self._effects = effects

    def remember(self, key: str, upstream: Any) -> None:
        self._effects.append("store")

    def close_soon(self, key: str, upstream: Any = None) -> None:
        self._effects.append("close")

    async def close(self, key: str, upstream: Any) -> None:
        self._effects.append("close")


class Permit:
    def __init__(self, effects: list[str]) -> None:
        self._effects = effects

    def release(self) -> None:
        if "permit" not in self._effects:
            self._effects.append("permit")


def new_lease(kind: LeaseKind, state: RunState, effects: list[str]) -> Lease:
    upstream: Any = Upstream("ag-ui" if kind == WITHOUT_GATEWAY else "agentick")
    lease = Lease("", "oc-1", upstream, history="last", persistent=kind == PERSISTENT)

    async def release() -> None:
        effects.append("unlock")

    permit: Any = Permit(effects)
    lease.hold_lock(release)
    lease.permit = permit
    lease.matched_fingerprint = "f1" if kind == CONTINUED else None
    lease.awaits_client, lease.succeeded = state == WAITING, state == SUCCEEDED
    reported = {WAITING: ACCEPTED, SUCCEEDED: FINISHED}.get(state, state)
    run: Any = Run(reported, effects)
    lease.run = run
    return lease


@pytest.mark.parametrize(("kind", "state"), AFTER_REQUEST)
async def test_after_a_request(kind: LeaseKind, state: RunState) -> None:
    effects: list[str] = []
    lease = new_lease(kind, state, effects)
    assert (lease.kind, lease.run_state) == (kind, state)
    keys, store = SigningKeys(Secrets([b"secret"])), MemoryStore(ttl=60, size=10)
    conversations = Conversations(keys, store, MemoryNames(size=10), recognises=True)
    closer: Any = Closer(effects)
    finalizer = Finalizer(Config(demo=True), conversations, closer)
    finalizer.finalize(lease)
    while finalizer.tasks:
        await asyncio.wait(finalizer.tasks)
    assert effects == EFFECTS[kind, state]
    assert finalizer.cancelled == (AFTER_REQUEST[kind, state] in CANCELLED)
    assert await store.count() == effects.count("store")


def test_every_lease_and_every_run_has_its_action() -> None:
    cells = {*itertools.product(get_args(LeaseKind), get_args(RunState))}
    assert AFTER_REQUEST.keys() == EFFECTS.keys() == cells
