"""Data kept for retries, as kinds of kept data: answers in the memory of this process, and claims in Redis.

Only runs that have ended are counted and deleted.
"""

from __future__ import annotations

from ...core.caller import Owner
from .claims import RedisClaims
from .run_once import IdempotentRuns


class AnswerData:
    """Answers in memory, with their events."""

    kind = "answers_in_memory"
    place = ""

    def __init__(self, runs: IdempotentRuns) -> None:
        self._runs = runs

    async def count(self, owner: Owner) -> int:
        return self._runs.count(owner)

    async def delete(self, owner: Owner) -> int:
        return self._runs.remove(owner)


class ClaimData:
    """Claims in Redis of runs that have ended, with their outcomes."""

    kind = "run_claims"
    place = "redis"

    def __init__(self, claims: RedisClaims) -> None:
        self._claims = claims

    async def count(self, owner: Owner) -> int:
        return await self._claims.count(owner)

    async def delete(self, owner: Owner) -> int:
        return await self._claims.remove(owner)
