"""Which session has answered which conversation (decision D15): what the store and the names know, put together.

A store that cannot be reached knows nothing: then a conversation is sent whole, to a session that is not kept.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from ...core.errors import SessionsUnavailable
from ...core.signing import SigningKeys
from .fingerprints import AnswerDigest, answered_part, conversation_digest, is_whole, name_digest
from .lease import Lease, Wanted
from .named_sessions import UNKNOWN, SessionNames
from .store import SessionStore

log = logging.getLogger(__name__)


class Continuations:
    """Digests are those of a conversation, the caller, the model and the session's name; texts in hexadecimal."""

    def __init__(self, keys: SigningKeys, store: SessionStore, names: SessionNames, *, recognises: bool) -> None:
        """`recognises`: also where a request names no session (setting `sessions`)."""
        self._keys = keys
        self._store = store
        self._names = names
        self._recognises = recognises

    def follow(self, wanted: Wanted) -> AnswerDigest | None:
        """Follows the answer, if its conversation can be continued."""
        is_thread = bool(wanted.name) and wanted.keeps_threads and not wanted.native
        if (wanted.key and not is_thread) or not (wanted.name or self._recognises):
            return None
        return AnswerDigest(self._keys.newest, wanted.caller.scope, wanted.model, wanted.messages, name=wanted.name)

    def digests(self, wanted: Wanted) -> list[str]:
        """Of what stands before the new messages, under each key, the newest first; none if nothing does, if nothing
        is new, or if it is not asked.
        """
        if not (wanted.name or self._recognises):
            return []
        answered = answered_part(wanted.messages)
        if not answered or len(answered) == len(wanted.messages):
            return []
        about = (wanted.caller.scope, wanted.model, answered)
        return [conversation_digest(key, *about, name=wanted.name) for key in self._keys.all]

    async def is_whole(self, wanted: Wanted) -> bool:
        """Whether the request holds a whole conversation: by itself, or since others under its name did."""
        names = [name_digest(key, wanted.caller.scope, wanted.name) for key in self._keys.all]
        whole = is_whole(wanted.messages)
        with contextlib.suppress(SessionsUnavailable):
            if not whole:
                return any([await self._names.is_whole(name) for name in names])
            await self._names.note_whole(names[0])
        return whole

    # a name's own session

    async def choose(self, keys: Sequence[str]) -> str:
        """Of the sessions that a name has had, under one secret after the other: the newest that is in use."""
        with contextlib.suppress(SessionsUnavailable):
            for key in keys if len(keys) > 1 else ():
                if await self._names.answered(key) is not None:
                    return key
        return keys[0]

    async def has_answered(self, key: str, digest: str) -> bool:
        with contextlib.suppress(SessionsUnavailable):
            return await self._names.answered(key) == digest
        return False

    async def claim(self, key: str, digest: str) -> bool:
        """Whether it has answered exactly this. From now on nobody knows what it has answered."""
        with contextlib.suppress(SessionsUnavailable):
            return await self._names.take(key, digest)
        return False

    async def use(self, key: str) -> bool:
        """The session is told something new. Whether this is the first time, as far as is known."""
        with contextlib.suppress(SessionsUnavailable):
            before = await self._names.answered(key)
            if before != UNKNOWN:
                await self._names.note_answered(key, UNKNOWN)
            return before is None
        return False

    async def unuse(self, lease: Lease) -> None:
        """What was to be the first that it is told has not reached it."""
        with contextlib.suppress(SessionsUnavailable):
            if lease.own and lease.first and await self._names.answered(lease.key) == UNKNOWN:
                await self._names.forget(lease.key)

    # all of them

    async def take(self, digest: str) -> str | None:
        """The session of this conversation; a conversation that cannot be looked up has none."""
        try:
            return await self._store.take(digest)
        except SessionsUnavailable:
            log.warning("a conversation could not be looked up; it continues in a fresh session")
            return None

    async def put(self, lease: Lease, digest: str) -> list[str]:
        """Keeps the lease's session under the digest. Returns the sessions that are to be closed for it."""
        try:
            if not lease.own:
                return await self._store.put(digest, lease.key, named=lease.named)
            await self._names.note_answered(lease.key, digest)
        except SessionsUnavailable:
            log.warning("session %s could not be noted, so nobody can continue in it", lease.key)
            return [] if lease.own else [lease.key]
        return []

    async def forget(self, lease: Lease) -> None:
        """The session has not answered what it was kept for, after all."""
        if lease.remembered_by is None:
            return
        if lease.own:
            await self.claim(lease.key, lease.remembered_by)
        else:
            await self.take(lease.remembered_by)
