"""Finds the session that has answered a conversation (decision D15), in the stores of sessions and of session names.

If a store is unavailable, no session is found: the conversation is sent whole, to a session that is not kept.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from ...core.errors import StoreUnavailable
from ...core.signing import SigningKeys
from .fingerprints import (
    AnswerFingerprint,
    PointFingerprint,
    conversation_fingerprint,
    is_whole_conversation,
    mark_in,
    name_fingerprint,
    point_fingerprint,
    up_to_last_answer,
)
from .lease import Lease, SessionRequest
from .named_sessions import UNKNOWN, SessionNames
from .store import SessionStore

log = logging.getLogger(__name__)


def _name_of(point: str) -> str:
    """A session name for the fingerprints of an answer's id; no header can contain it."""
    return f"\0{point}"


class Conversations:
    """Finds and stores sessions by fingerprints of conversation, caller, model and session name."""

    def __init__(self, keys: SigningKeys, store: SessionStore, names: SessionNames, *, recognises: bool) -> None:
        """`recognises`: requests that name no session are recognised by their conversation (setting `sessions`)."""
        self._keys = keys
        self._store = store
        self._names = names
        self._recognises = recognises

    def new_fingerprint(self, request: SessionRequest) -> AnswerFingerprint | PointFingerprint | None:
        """The fingerprint of the answer that will be made; None if no later request may continue the conversation.

        An AnswerFingerprint receives the parts of the answer. A PointFingerprint is used if later requests have to
        name the answer by its id.
        """
        is_thread = bool(request.name) and request.keeps_threads and not request.native
        if request.key and not is_thread:
            return None
        if not (request.name or self._recognises):
            return self._new_point(request) if request.point else None
        about = (request.caller.scope, request.model, request.messages)
        return AnswerFingerprint(self._keys.newest, *about, name=request.name)

    def _new_point(self, request: SessionRequest) -> AnswerFingerprint | PointFingerprint:
        if request.by_token:
            whole = (request.caller.scope, request.model, request.messages)
            return AnswerFingerprint(self._keys.newest, *whole, name=_name_of(request.point))
        about = (request.caller.scope, request.model, request.instructions)
        return PointFingerprint(self._keys.newest, *about, request.point)

    def fingerprints(self, request: SessionRequest) -> list[str]:
        """Fingerprints of the conversation up to its last answer, one for each signing key, the newest key first.

        Empty if there is no answer, if no message follows it, or if conversations are not recognised.
        """
        name = request.name
        if not (name or self._recognises):
            if request.continues or not request.token_point:
                return self._points(request) if request.continues else []
            name = _name_of(request.token_point)
        answered = up_to_last_answer(request.messages)
        if not answered or len(answered) == len(request.messages):
            return []
        about = (request.caller.scope, request.model, answered)
        return [conversation_fingerprint(key, *about, name=name) for key in self._keys.all]

    def _points(self, request: SessionRequest) -> list[str]:
        about = (request.caller.scope, request.model, request.instructions, request.continues)
        return [point_fingerprint(key, *about) for key in self._keys.all]

    async def is_whole(self, request: SessionRequest) -> bool:
        """Whether the messages are a whole conversation: they show it, or earlier requests with this name did."""
        names = [name_fingerprint(key, request.caller.scope, request.name) for key in self._keys.all]
        whole = is_whole_conversation(request.messages)
        with contextlib.suppress(StoreUnavailable):
            if not whole:
                return any([await self._names.sends_all(name) for name in names])
            await self._names.set_sends_all(names[0])
        return whole

    # the primary session of a name

    async def newest_in_use(self, keys: Sequence[str], mark: str) -> str:
        """The newest key whose primary session was used; if none was, the first. `keys`: one for each signing key.

        `mark`: the caller's owner mark.
        """
        with contextlib.suppress(StoreUnavailable):
            for key in keys if len(keys) > 1 else ():
                if await self._names.answered(mark + key) is not None:
                    return key
        return keys[0]

    async def has_answered(self, key: str, fingerprint: str) -> bool:
        with contextlib.suppress(StoreUnavailable):
            return await self._names.answered(mark_in(fingerprint) + key) == fingerprint
        return False

    async def claim_primary(self, key: str, fingerprint: str) -> bool:
        """Returns whether the session has answered exactly this conversation; if so, no other request can claim it."""
        with contextlib.suppress(StoreUnavailable):
            return await self._names.claim(mark_in(fingerprint) + key, fingerprint)
        return False

    async def mark_used(self, lease: Lease) -> bool:
        """Called before a message is sent to a primary session; returns whether the session is new, as far as known."""
        session = lease.owner_mark + lease.key
        with contextlib.suppress(StoreUnavailable):
            before = await self._names.answered(session)
            if before != UNKNOWN:
                await self._names.set_answered(session, UNKNOWN)
            return before is None
        return False

    async def unmark_used(self, lease: Lease) -> None:
        """Called if the first message of the session has not reached the gateway."""
        with contextlib.suppress(StoreUnavailable):
            session = lease.owner_mark + lease.key
            if lease.primary and lease.first and await self._names.answered(session) == UNKNOWN:
                await self._names.forget(session)

    # all sessions

    async def claim(self, fingerprint: str) -> str | None:
        """Removes and returns the session that has answered this conversation, if any and if the store is available."""
        try:
            return await self._store.claim(fingerprint)
        except StoreUnavailable as error:
            log.warning("a conversation continues in a new session, as the session store fails: %s", error.cause)
            return None

    async def store(self, lease: Lease, fingerprint: str) -> list[str]:
        """Stores the session. Returns sessions to close; the lease's own is among them if it could not be stored."""
        try:
            if not lease.primary:
                return await self._store.put(fingerprint, lease.key, named=lease.named)
            await self._names.set_answered(mark_in(fingerprint) + lease.key, fingerprint)
        except StoreUnavailable as error:
            log.warning("no request can continue in session %s, as the session store fails: %s", lease.key, error.cause)
            return [] if lease.primary else [lease.key]
        return []

    async def forget(self, lease: Lease) -> None:
        """Removes a session that was stored with its answer, but whose run did not finish."""
        if lease.stored_fingerprint is None:
            return
        if lease.primary:
            await self.claim_primary(lease.key, lease.stored_fingerprint)
        else:
            await self.claim(lease.stored_fingerprint)
