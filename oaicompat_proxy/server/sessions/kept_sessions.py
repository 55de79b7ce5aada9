"""Sessions as a kind of kept data: those of the gateway in which a caller's later requests continue.

A session in use by a request is in no store, so it is not deleted. Sessions that clients name by the gateway's own keys
do not belong to the proxy.
"""

from __future__ import annotations

from collections.abc import Callable

from ...core.caller import MARK_LENGTH, Owner
from .named_sessions import SessionNames
from .store import SessionStore


class SessionData:
    kind = "sessions"

    def __init__(self, store: SessionStore, names: SessionNames, close: Callable[[str], None]) -> None:
        """`close`: closes a session of the gateway in the background."""
        self.place = ""
        self._store = store
        self._names = names
        self._close = close

    async def count(self, owner: Owner) -> int:
        return len({*await self._store.find_owned(owner.mark), *map(_key_of, await self._names.find_owned(owner.mark))})

    async def delete(self, owner: Owner) -> int:
        named = await self._names.remove_owned(owner.mark)
        sessions = {*await self._store.remove_owned(owner.mark), *map(_key_of, named)}
        for each in sessions:
            self._close(each)
        return len(sessions)


def _key_of(session: str) -> str:
    """The key of a session without the owner's mark."""
    return session[2 * MARK_LENGTH :]
