"""The stored record of an answer that other requests read by its id, from the beginning of its run.

A process that dies cannot write the end of its records. So an entry names the process that makes the answer, and each
process stores a heartbeat. The process that finds a record of a dead process ends the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ...api.protocol import ClientApi, StreamEncoder
from ...core.errors import AnswerCut, ProxyError, UpstreamAnswerTooLong
from ..answer_stores.entry_keys import part_of
from ..answer_stores.stored_answers import StoredAnswers
from .process_life import ProcessLife

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a body of an earlier answer that is read in one piece."""


class KeptAnswer:
    """The record of one answer that this process makes."""

    def __init__(
        self,
        api: ClientApi,
        answer_id: str,
        scope: str,
        answers: StoredAnswers,
        life: ProcessLife,
        *,
        background: bool,
        reads_events: bool = True,
    ) -> None:
        """`reads_events`: the client reads the events, not only the first body."""
        self.id = answer_id
        self.background = background
        """The client does not wait for the answer."""
        self.reads_events = reads_events
        self.api = api
        self._scope = scope
        self._answers = answers
        self._life = life
        # state
        self.first_body: bytes | None = None
        """The body that was stored first; None until the request is checked."""
        self._body = b""
        """The body that was stored last."""
        self.on_open: Callable[[], None] = lambda: None
        """Called when the record is stored."""
        self._complete = False

    async def open(self, entries: Mapping[str, bytes], body: bytes) -> None:
        """Stores the record. `entries`: stored beside the body."""
        await self._life.begin()
        self._body = body
        await self._store(entries)
        self.first_body = body
        self.on_open()

    async def adopt(self, answer_id: str) -> bool:
        """Uses the record of an answer that another process makes as the first body; returns whether there is a record.

        Raises StoreUnavailable.
        """
        await find_maker(self.api, self._scope, answer_id, self._answers, self._life)
        body = (await self._answers.find(self._scope, [answer_id], max_bytes=MAX_BODY)).get(answer_id)
        if body is None:
            return False
        self._complete = True
        self.first_body = body
        self.on_open()
        return True

    async def update(self, body: bytes) -> None:
        self._body = body
        await self._store()

    async def restore(self) -> None:
        """Stores the record again, unless the answer is complete."""
        if self.first_body is not None and not self._complete:
            await self._store()

    async def _store(self, entries: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Stores the maker first: a record without a maker would never be ended."""
        await self._answers.add(makers_of(self._scope), {self.id: self._life.process.encode()})
        await self._answers.add(self._scope, {**entries, self.id: self._body})

    async def complete(self, entries: Mapping[str, bytes]) -> None:
        """Stores the complete answer."""
        if self.id not in entries:
            await self.end(UpstreamAnswerTooLong("The agent's answer is longer than this server stores."), None)
            return
        self._complete = True
        await self._answers.add(self._scope, entries)
        await self._disown()

    async def end(self, error: ProxyError | None, encoder: StreamEncoder | None) -> None:
        """Stores the failure as the end of the record, unless the answer is complete or its run never began."""
        if self._complete or self.first_body is None:
            return
        self._complete = True
        failure = error or AnswerCut("The run ended without an answer.")
        self._body = self.api.last_body(self._body, failure, encoder)
        await self._answers.add(self._scope, {self.id: self._body})
        await self._disown()

    async def store_events(self, events: bytes) -> None:
        """Stores the events of a finished answer, in the form of `encode_outcome`."""
        with contextlib.suppress(ProxyError):
            await self._answers.add(events_of(self._scope), {self.id: events}, ttl=self._life.events_ttl)

    async def _disown(self) -> None:
        """Marks the answer as finished; its events stay in this process for `events_ttl`."""
        scope, ttl = makers_of(self._scope), self._life.events_ttl
        with contextlib.suppress(ProxyError):
            if ttl:
                await self._answers.add(scope, {self.id: _ENDED + self._life.process.encode()}, ttl=ttl)
            else:
                await self._answers.delete(scope, [self.id])


_ENDED = b"ended "


class Maker(NamedTuple):
    """The process that has the events of an answer."""

    process: str
    has_ended: bool
    """The answer is finished."""


async def find_maker(
    api: ClientApi, scope: str, answer_id: str, answers: StoredAnswers, life: ProcessLife
) -> Maker | None:
    """The process that has the answer's events, or None. Ends the record of an answer whose process is dead.

    Raises StoreUnavailable.
    """
    entry = (await answers.find(makers_of(scope), [answer_id], max_bytes=MAX_BODY)).get(answer_id)
    if entry is None:
        return None
    maker = Maker(entry.removeprefix(_ENDED).decode(), entry.startswith(_ENDED))
    if await life.is_alive(maker.process):
        return maker
    body = (await answers.find(scope, [answer_id], max_bytes=MAX_BODY)).get(answer_id)
    if not maker.has_ended and body is not None:
        await answers.add(scope, {answer_id: api.last_body(body, process_lost(), None)})
    await answers.delete(makers_of(scope), [answer_id])
    return None


def events_of(scope: str) -> str:
    """The scope of the events of answers, by the answer's id."""
    return part_of(scope, "events")


def makers_of(scope: str) -> str:
    """The scope of the entries that name the process of an answer, by the answer's id."""
    return part_of(scope, "makers")


def process_lost() -> AnswerCut:
    return AnswerCut("The process that made this answer has stopped before its end.")
