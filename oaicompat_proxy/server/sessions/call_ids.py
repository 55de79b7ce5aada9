"""Ids of tool calls on their way to a client and back, and the questions that some of them ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiohttp import web

from ...core.errors import AgentError, AgentUnanswerable, InvalidRequest
from ...core.message import Message
from ...core.signing import SigningKeys
from ...translation.confirmations import (
    Confirmation,
    Question,
    is_signed,
    read_question,
    read_result,
    sign,
    write_question,
)
from ...translation.tool_call_ids import belongs, is_fit, restore_ids, short_ids, shorten
from ..upstream.approvals import UNANSWERABLE
from .id_store import IdStore, Noted

KEPT = 24 * 3600.0
"""Seconds for which an agent's own id is known: a conversation is taken up again within a day."""


MOST_RESTORED = 4096
"""Ids of a conversation that are looked up, the newest: an agent knows its own calls of the last turns."""


Where = Callable[[], tuple[str, bool]]
"""The run's session when a question comes up, and whether it goes on after the answer."""


class CallIds:
    """Of one gateway."""

    def __init__(self, keys: SigningKeys, store: IdStore) -> None:
        self._keys = keys
        self._store = store

    def of_answer(self, scope: str, model: str, where: Where, *, ttl: float, answerable: bool = True) -> AnswerIds:
        """`scope`: who gets the answer. `ttl`: seconds for which a question may be answered, if it may be at all."""
        return AnswerIds(self._keys, self._store, scope, model, where, ttl=ttl if answerable else 0)

    async def restore(self, messages: Sequence[Message], scope: str) -> tuple[Message, ...]:
        """The conversation with the agent's own ids, as far as they are known, and this caller's."""
        found = await self._store.find(short_ids(messages)[-MOST_RESTORED:])
        own = {short: each for short, each in found.items() if belongs(short, each, self._keys, scope)}
        return restore_ids(messages, own)

    async def read_confirmation(self, result: Message, scope: str, model: str) -> Confirmation:
        """What the client's result says to the question that it answers. Raises InvalidRequest."""
        token = result.tool_call_id or ""
        question = read_question((await self._store.find([token])).get(token, ""))
        if question is None or not is_signed(token, question, self._keys, scope, model):
            raise refusal("is not known here: its id is cut or another's, or it was asked too long ago")
        if question.expires < time.time():
            raise refusal("is not waited for any more")
        return read_result(result, question)


class AnswerIds:
    """Those that one answer gives to its client."""

    def __init__(self, keys: SigningKeys, store: IdStore, scope: str, model: str, where: Where, *, ttl: float) -> None:
        self._keys = keys
        self._store = store
        self._scope = scope
        self._model = model
        self._where = where
        self._ttl = ttl
        # moving
        self._noted: list[Noted] = []

    def shorten(self, call_id: str) -> str:
        """The id of an agent's call as the client gets it."""
        if is_fit(call_id):
            return call_id
        short = shorten(call_id, self._keys, self._scope)
        self._note(Noted(short, call_id, time.time() + KEPT))
        return short

    def ask(self, call_id: str) -> str:
        """The id of a question to the client: may the agent make this call?

        Raises AgentUnanswerable if nobody could pass the answer on, and AgentError if the question is too long.
        """
        if not self._ttl:
            raise AgentUnanswerable(UNANSWERABLE)
        session, lasting = self._where()
        question = Question(session, call_id, int(time.time() + self._ttl), lasting)
        token = sign(question, self._keys, self._scope, self._model)
        if not self._note(Noted(token, write_question(question), question.expires + 1)):
            raise AgentError("The agent waits for more answers at once than a client can be asked for.")
        return token

    async def share(self) -> None:
        """Before the client can come back, through whatever worker."""
        if self._noted:
            await self._store.share(self._noted)

    def _note(self, noted: Noted) -> bool:
        self._noted.append(noted)
        return self._store.note(noted)


def refusal(why: str) -> InvalidRequest:
    """`why`: what is to be said of the confirmation."""
    return InvalidRequest(
        f"This confirmation {why}; nothing was run. To ask the agent again, send the conversation without it.",
        param="messages",
        code="confirmation_unknown",
    )


CALL_IDS = web.AppKey("oaicompat_proxy.call_ids", CallIds)
