"""The stored record of an answer that other requests read by its id: there from the beginning of its run, and final
with its end.

A process that dies cannot write the end of its runs. So the record says which process makes the answer, and each
process says again and again that it lives: whoever reads the record of a dead process ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from ...api.protocol import ClientApi, StreamEncoder
from ...core.errors import AnswerCut, ProxyError, UpstreamAnswerTooLong
from ..random_ids import new_id
from ..stored_answers import StoredAnswers

BEAT = 5.0
"""Seconds between two times that a process says that it lives."""

DEAD_AFTER = 4 * BEAT
"""Seconds without a word from a process after which it counts as dead: a busy one may be late."""

EVERYBODY = ""
"""The scope of entries that belong to no caller; no caller has it."""

MOST_BODY = 4 * 1024 * 1024
"""Bytes of a body of an earlier answer that is read in one piece."""


class ProcessLife:
    """Whether the processes that share stored answers live."""

    def __init__(self, answers: StoredAnswers) -> None:
        self._answers = answers
        # state
        self.process = new_id()
        """The name of this process."""
        self._beating: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """From the first kept answer on; returns when the others can see it."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_forever(), name="say that the process lives")
            await self._beat()

    async def is_alive(self, process: str) -> bool:
        """Raises SessionsUnavailable."""
        if process == self.process:
            return True
        return bool(await self._answers.find(EVERYBODY, [_name_of(process)], most=MOST_BODY))

    async def end(self) -> None:
        """The process stops."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.wait([self._beating])
        with contextlib.suppress(ProxyError):
            await self._answers.delete(EVERYBODY, [_name_of(self.process)])

    async def _beat(self) -> None:
        await self._answers.add(EVERYBODY, {_name_of(self.process): b"1"}, ttl=DEAD_AFTER)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await self._beat()


class KeptAnswer:
    """The record of one answer that this process makes."""

    def __init__(
        self, api: ClientApi, answer_id: str, scope: str, answers: StoredAnswers, life: ProcessLife, *, background: bool
    ) -> None:
        self.id = answer_id
        self.background = background
        """The client does not wait for the answer."""
        self._api = api
        self._scope = scope
        self._answers = answers
        self._life = life
        # state
        self.first_body: bytes | None = None
        """The answer's body as it was stored first; None before the request was checked."""
        self._body = b""
        """As it was stored last."""
        self.on_open: Callable[[], None] = _nothing
        """Called when the record is there."""
        self._complete = False

    async def open(self, entries: Mapping[str, bytes], body: bytes) -> None:
        """`entries`: what is stored beside the body."""
        await self._life.begin()
        owner = {maker_name(self.id): self._life.process.encode()}
        await self._answers.add(self._scope, {**entries, **owner, self.id: body})
        self.first_body = self._body = body
        self.on_open()

    async def update(self, body: bytes) -> None:
        await self._answers.add(self._scope, {self.id: body})
        self._body = body

    async def complete(self, entries: Mapping[str, bytes]) -> None:
        """The answer is complete."""
        if self.id not in entries:
            await self.end(UpstreamAnswerTooLong("The agent's answer is longer than this server stores."), None)
            return
        self._complete = True
        await self._answers.add(self._scope, entries)
        await self._disown()

    async def end(self, error: ProxyError | None, encoder: StreamEncoder | None) -> None:
        """The run is over. Nothing happens if the answer is complete, or if its run never began."""
        if self._complete or self.first_body is None:
            return
        self._complete = True
        failure = error or AnswerCut("The run ended without an answer.")
        await self.update(self._api.last_body(self._body, failure, encoder))
        await self._disown()

    async def _disown(self) -> None:
        with contextlib.suppress(ProxyError):
            await self._answers.delete(self._scope, [maker_name(self.id)])


def _nothing() -> None:
    pass


async def end_if_dead(api: ClientApi, scope: str, answer_id: str, answers: StoredAnswers, life: ProcessLife) -> str:
    """Ends the record of an answer whose process is dead. Returns the process that makes the answer; "" for none.

    Raises SessionsUnavailable.
    """
    maker = maker_name(answer_id)
    found = await answers.find(scope, [maker, answer_id], most=MOST_BODY)
    if maker not in found or answer_id not in found:
        return ""
    process = found[maker].decode()
    if await life.is_alive(process):
        return process
    lost = AnswerCut("The process that made this answer has stopped before its end.")
    await answers.add(scope, {answer_id: api.last_body(found[answer_id], lost, None)})
    await answers.delete(scope, [maker])
    return ""


def maker_name(answer_id: str) -> str:
    """Of the entry that says which process makes the answer."""
    return f"{answer_id}/maker"


def _name_of(process: str) -> str:
    return f"process {process}"
