"""The stored entry that an answer changes, such as its conversation.

The request locks the entry before reading it and until the request is over, so that no other run begins with the old
entry. Changes without the lock are noticed: an entry is replaced only if it is as it was read (compare and set), and
otherwise the change is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...api.protocol import BodyBuilder, ClientApi, StreamEncoder
from ...core.caller import Caller
from ...core.errors import AnswerNotStored, StoreUnavailable
from ...core.request import EntryChange
from ..answer_stores.stored_answers import StoredAnswers
from ..runtime import GatewayRuntime
from ..sessions.locks import ReleaseLock

ATTEMPTS = 20
"""Attempts to change an entry that other requests change at the same time."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of an entry that is read to be changed; its size was bounded when it was stored."""


class ChangedEntry:
    """The locked entry of one request."""

    def __init__(self, answers: StoredAnswers, scope: str, release: ReleaseLock) -> None:
        self._answers = answers
        self._scope = scope
        self.release = release
        """Releases the lock; called when the request is over."""

    async def change(self, api: ClientApi, change: EntryChange, answer: StreamEncoder | BodyBuilder) -> None:
        """Changes the stored entry by the answer. Raises AnswerNotStored, and what the API raises."""
        try:
            for _ in range(ATTEMPTS):
                stored = await self._answers.find(self._scope, [change.name], max_bytes=MAX_BYTES)
                if await replace_all(self._answers, self._scope, stored, api.change(change, stored, answer)):
                    return
        except StoreUnavailable as error:
            raise _not_stored() from error
        raise _not_stored()


async def hold_entry(runtime: GatewayRuntime, caller: Caller, name: str, size: int) -> ChangedEntry:
    """Locks the entry, and waits for that. `size`: bytes of the request that waits.

    Raises SessionBusy, Overloaded, StoreUnavailable.
    """
    release = await runtime.sessions.lock_entry(name, caller, size)
    return ChangedEntry(runtime.stored_answers, caller.scope, release)


async def replace_all(
    answers: StoredAnswers, scope: str, stored: Mapping[str, bytes], replaced: Mapping[str, bytes]
) -> bool:
    """Replaces entries that are still as in `stored`; False at the first that is not.

    Raises StoreUnavailable, NotFound.
    """
    for name, new in replaced.items():
        if not await answers.replace(scope, name, stored.get(name), new):
            return False
    return True


def _not_stored() -> AnswerNotStored:
    return AnswerNotStored("The agent has answered, but its answer could not be stored in the conversation.")
