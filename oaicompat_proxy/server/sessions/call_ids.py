"""Ids of tool calls in answers, and of confirmations, which clients get as tool calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...core.errors import CONVERSATION, AgentError, AgentUnanswerable, InvalidRequest
from ...core.message import Message
from ...core.signing import SigningKeys
from ...translation.confirmations import (
    Confirmation,
    Question,
    decode_question,
    encode_question,
    is_signed,
    read_result,
    sign,
)
from ...translation.tool_call_ids import belongs, is_fit, restore_ids, short_ids, shorten
from ..upstream.approvals import UNANSWERABLE
from .id_store import IdStore, StoredId

CALL_ID_TTL = 24 * 3600.0
"""Seconds for which the original id of a call is stored; most conversations continue within a day."""


MAX_RESTORED = 4096
"""Ids of a conversation that are looked up, the newest ones; an agent needs those of its last turns."""


SessionOfRun = Callable[[], tuple[str, bool]]
"""Returns the key of the run's session, and whether later requests continue in it."""


class CallIds:
    """The ids of one gateway."""

    def __init__(self, keys: SigningKeys, store: IdStore) -> None:
        self._keys = keys
        self._store = store

    def of_answer(
        self, scope: str, model: str, session: SessionOfRun, *, ttl: float, answerable: bool = True
    ) -> AnswerIds:
        """`scope`: of the caller. `ttl`: seconds for which a confirmation may be answered. `answerable`: whether the
        gateway accepts the client's reply.
        """
        return AnswerIds(self._keys, self._store, scope, model, session, ttl if answerable else 0)

    async def restore(self, messages: Sequence[Message], scope: str) -> tuple[Message, ...]:
        """The conversation with the agent's own call ids, where these are stored for this caller."""
        found = await self._store.find(short_ids(messages)[-MAX_RESTORED:])
        own = {short: each for short, each in found.items() if belongs(short, each, self._keys, scope)}
        return restore_ids(messages, own)

    async def read_confirmation(self, result: Message, scope: str, model: str) -> Confirmation:
        """Parses the client's reply to a confirmation. Raises InvalidRequest."""
        token = result.tool_call_id or ""
        question = decode_question((await self._store.find([token])).get(token, ""))
        if question is None or not is_signed(token, question, self._keys, scope, model):
            raise confirmation_rejected(
                "is unknown: its id is truncated or belongs to another request, or it was asked too long ago"
            )
        if question.expires < time.time():
            raise confirmation_rejected("is not waited for any more")
        return read_result(result, question)

    async def claim(self, confirmation: Confirmation) -> None:
        """Reserves a confirmation for one run, because each run with it acts.

        Raises InvalidRequest if another request has claimed it.
        """
        if not await self._store.claim(confirmation.token, until=confirmation.question.expires + 1):
            raise confirmation_rejected("was answered before")

    async def release(self, confirmation: Confirmation) -> None:
        """Lets another request claim a confirmation whose run never began."""
        await self._store.release(confirmation.token)


class AnswerIds:
    """The ids in one answer."""

    def __init__(
        self, keys: SigningKeys, store: IdStore, scope: str, model: str, session: SessionOfRun, ttl: float
    ) -> None:
        self._keys = keys
        self._store = store
        self._scope = scope
        self._model = model
        self._session = session
        self._ttl = ttl
        # state
        self.stored: list[StoredId] = []
        """Those that only this process knows until `share`."""

    def shorten(self, call_id: str) -> str:
        """The id of an agent's call for the client."""
        if is_fit(call_id):
            return call_id
        short = shorten(call_id, self._keys, self._scope)
        self._add(StoredId(short, call_id, time.time() + CALL_ID_TTL))
        return short

    def ask(self, call_id: str) -> str:
        """The id of the tool call that asks the client to confirm the agent's call.

        Raises AgentUnanswerable if the gateway accepts no reply, and AgentError if the id cannot be stored.
        """
        if not self._ttl:
            raise AgentUnanswerable(UNANSWERABLE)
        key, persistent = self._session()
        question = Question(key, call_id, int(time.time() + self._ttl), persistent)
        token = sign(question, self._keys, self._scope, self._model)
        if not self._add(StoredId(token, encode_question(question), question.expires + 1)):
            raise AgentError("The agent waits for more answers at once than a client can be asked for.")
        return token

    async def share(self) -> None:
        """Stores the ids for all workers. Called before the client can send its next request."""
        await self._store.share(self.stored)

    def _add(self, stored: StoredId) -> bool:
        self.stored.append(stored)
        return self._store.add(stored)


def confirmation_rejected(why: str) -> InvalidRequest:
    """`why`: the predicate of a sentence about the confirmation."""
    return InvalidRequest(
        f"This confirmation {why}; nothing was run. To ask the agent again, send the conversation without it.",
        param=CONVERSATION,
        code="confirmation_unknown",
    )
