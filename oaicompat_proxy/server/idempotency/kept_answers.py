"""The kept answers of one gateway, as the routes that name an answer by its id see them."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ClientApi
from ...core.errors import RunCancelled
from ..stored_answers import StoredAnswers
from .kept_answer import ProcessLife, end_if_dead
from .run_once import IdempotentRuns


class KeptAnswers:
    def __init__(self, runs: IdempotentRuns, answers: StoredAnswers, life: ProcessLife) -> None:
        self._runs = runs
        self._answers = answers
        self._life = life

    async def settle(self, api: ClientApi, scope: str, answer_id: str, *, stops: bool) -> None:
        """Makes the record true: stops the run if the client wants that, and ends the record of a dead process.

        Raises SessionsUnavailable.
        """
        if stops:
            await self._runs.stop(scope, answer_id, RunCancelled("The run was cancelled by the id of its answer."))
        if not self._runs.is_here(scope, answer_id):
            await end_if_dead(api, scope, answer_id, self._answers, self._life)

    async def follow(self, request: web.Request, answer_id: str, skipped: int) -> web.StreamResponse:
        """The events of the answer behind the first ones, live. Raises ProxyError."""
        return await self._runs.follow(request, answer_id, skipped)
