"""Claims of runs in the file of `--response-db`: for the processes of one machine, and over restarts.

Only requests with an `Idempotency-Key` are claimed; retries of others are recognised in the memory of one process. A
claim names its process, whose heartbeat (`ProcessLife`) shows whether it is alive, so claims are not renewed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from ...core.errors import StoreUnavailable
from ..answer_stores.entry_keys import part_of
from .claims import Claim, FoundClaim, claim_digest, parse_claim
from .kept_answer import MAX_BODY
from .process_life import ProcessLife

log = logging.getLogger(__name__)

RUNNING_TTL = 24 * 3600.0
"""Seconds for which a running request keeps its claim; longer than any run."""


class ClaimFile(Protocol):
    """The methods of `answer_database.AnswerDatabase` that are needed here."""

    async def add(self, scope: str, entries: Mapping[str, bytes], *, ttl: float | None = None) -> None: ...

    async def add_new(self, scope: str, name: str, value: bytes) -> bytes | None: ...

    async def find(self, scope: str, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]: ...

    async def delete(self, scope: str, names: Iterable[str]) -> None: ...


class StoredClaims:
    """The claims of one process."""

    def __init__(self, file: ClaimFile, life: ProcessLife, namespace: str) -> None:
        self._file = file
        self._life = life
        self._namespace = namespace
        # state
        self._ending: set[asyncio.Task[None]] = set()

    def covers(self, *, has_client_key: bool) -> bool:
        return has_client_key

    def new_claim(self, scope: str, name: str, fingerprint: bytes, answer_id: str = "") -> Claim:
        """A claim that is not acquired yet. `scope`: of the caller; `name`: of the request."""
        key = f"claim {claim_digest(self._namespace, scope, name)}"
        return Claim(key, fingerprint.hex(), claims_of(scope), answer_id)

    async def acquire(self, claim: Claim) -> FoundClaim | None:
        """Returns None if this process has the claim now, else the claim found.

        Raises StoreUnavailable, and IdempotentAnswerGone for a damaged claim.
        """
        await self._life.begin()
        found = await self._file.add_new(claim.scope, claim.key, f"{claim.running} {self._life.process}".encode())
        if found is None:
            return None
        state, fingerprint, holder, process = parse_claim(claim.key, found, words=4)
        lives = state == "running" and await self._life.is_alive(process)
        return FoundClaim(fingerprint, state == "ended", 0 if lives else math.inf, holder.partition("/")[2])

    async def find_outcome(self, claim: Claim) -> bytes | None:
        """Raises StoreUnavailable."""
        return (await self._file.find(claim.scope, [claim.outcome], max_bytes=MAX_BODY)).get(claim.outcome)

    def end(self, claim: Claim, outcome: bytes | None, *, ttl: float) -> None:
        """Stores the outcome for `ttl` seconds in the background. Without an outcome the claim is deleted."""
        task = asyncio.create_task(self._store(claim, outcome, ttl), name="end a run claim")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Waits until all outcomes are stored."""
        if self._ending:
            await asyncio.wait(list(self._ending))

    async def _store(self, claim: Claim, outcome: bytes | None, ttl: float) -> None:
        try:
            if outcome is None or ttl <= 0:
                await self._file.delete(claim.scope, [claim.key])
                return
            ended = f"{claim.ended} {self._life.process}".encode()
            await self._file.add(claim.scope, {claim.outcome: outcome, claim.key: ended}, ttl=ttl)
        except StoreUnavailable as error:
            log.warning("the outcome of a request could not be stored in the file of --response-db: %s", error.cause)


def claims_of(scope: str) -> str:
    """The scope of a caller's claims and their outcomes."""
    return part_of(scope, "claims")
