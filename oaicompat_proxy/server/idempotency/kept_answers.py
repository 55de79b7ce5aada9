"""The kept answers of one gateway, for routes that name an answer by its id."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from ...api.protocol import ClientApi
from ..answer_stores.stored_answers import StoredAnswers
from ..context import CONTEXT
from .cache import IdempotencyCache
from .delivery import deliver
from .foreign_readers import cancelled
from .kept_answer import MAX_BODY, Maker, events_of, find_maker
from .process_life import ProcessLife
from .remote_answers import RemoteAnswers
from .run_once import IdempotentRuns
from .shared_answer import SharedAnswer
from .stored_outcome import restore_outcome


class KeptAnswers:
    def __init__(self, runs: IdempotentRuns, answers: StoredAnswers, life: ProcessLife, remote: RemoteAnswers) -> None:
        self._runs = runs
        self._answers = answers
        self._life = life
        self._remote = remote

    async def update_record(self, api: ClientApi, scope: str, answer_id: str, *, stops: bool) -> None:
        """Brings the record up to date: ends the record of a dead process, and with `stops` stops the run.

        Raises StoreUnavailable, and RunElsewhere if the run cannot be stopped from here.
        """
        if self._runs.find(scope, answer_id) is not None:
            if stops:
                await self._runs.stop(scope, answer_id, cancelled())
            return
        maker = await self._find_maker(api, scope, answer_id)
        if stops and maker is not None and not maker.has_ended:
            await self._remote.stop(maker.process, scope, answer_id)

    async def follow(
        self, request: web.Request, api: ClientApi, answer_id: str, body: bytes, skipped: int
    ) -> web.StreamResponse:
        """Sends the events behind the first `skipped`, live. `body`: of the answer so far. Raises ProxyError."""
        scope = request[CONTEXT].caller.scope
        if self._runs.find(scope, answer_id) is None:
            maker = await self._find_maker(api, scope, answer_id)
            if (maker is None or maker.has_ended) and (events := await self._find_events(scope, answer_id)):
                return await _replay(request, SharedAnswer(scope, answer_id, b"", _unbounded()), events, skipped)
            if maker is not None:
                return await self._remote.follow(request, api, maker.process, answer_id, body, skipped)
        return await self._runs.follow(request, answer_id, skipped)

    async def delete_events(self, scope: str, answer_ids: Iterable[str]) -> None:
        """Raises StoreUnavailable."""
        if self._life.stores_events:
            await self._answers.delete(events_of(scope), answer_ids)

    async def _find_events(self, scope: str, answer_id: str) -> bytes | None:
        if not self._life.stores_events:
            return None
        return (await self._answers.find(events_of(scope), [answer_id], max_bytes=MAX_BODY)).get(answer_id)

    async def _find_maker(self, api: ClientApi, scope: str, answer_id: str) -> Maker | None:
        return await find_maker(api, scope, answer_id, self._answers, self._life)


async def _replay(request: web.Request, shared: SharedAnswer, events: bytes, skipped: int) -> web.StreamResponse:
    """Sends stored events behind the first `skipped`."""
    restore_outcome(events, shared)
    reader = shared.add_reader(skipped)
    try:
        return await deliver(request, shared, reader)
    finally:
        shared.remove_reader(reader)


def _unbounded() -> IdempotencyCache[SharedAnswer]:
    """A cache for one answer that is read once; the store bounds its bytes."""
    return IdempotencyCache(max_entries=1, max_size=MAX_BODY, max_bytes=MAX_BODY)
