"""The kept answers of one gateway, as the routes that name an answer by its id see them."""

from __future__ import annotations

from aiohttp import web

from ...api.protocol import ClientApi
from ...core.errors import RunCancelled, RunElsewhere
from ..context import CONTEXT
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

        Raises SessionsUnavailable, and RunElsewhere for a run of another process that is to be stopped.
        """
        if stops:
            await self._runs.stop(scope, answer_id, RunCancelled("The run was cancelled by the id of its answer."))
        if await self._is_elsewhere(api, scope, answer_id) and stops:
            raise RunElsewhere("The run belongs to another process of this server and goes on; send the request again.")

    async def follow(self, request: web.Request, api: ClientApi, answer_id: str, skipped: int) -> web.StreamResponse:
        """The events of the answer behind the first ones, live. Raises ProxyError."""
        if await self._is_elsewhere(api, request[CONTEXT].caller.scope, answer_id):
            raise RunElsewhere(
                "The events of this answer are in another process of this server; send the request again, or without "
                "'stream'."
            )
        return await self._runs.follow(request, answer_id, skipped)

    async def _is_elsewhere(self, api: ClientApi, scope: str, answer_id: str) -> bool:
        """Whether another process makes the answer; ends the record of a dead one."""
        if self._runs.is_here(scope, answer_id):
            return False
        return bool(await end_if_dead(api, scope, answer_id, self._answers, self._life))
