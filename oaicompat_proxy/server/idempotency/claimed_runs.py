"""Claims runs in Redis or a file, so that a retry that reaches another process does not run the agent again.

A process that gets the claim runs the request. If another process has the claim, this process sends the answer of that
run: live, if the answer can be read by its id; otherwise when the run has ended, and the client gets no byte before.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from ...config.settings import Config
from ...core.errors import (
    IdempotencyKeyReused,
    IdempotentAnswerGone,
    InternalError,
    ProxyError,
    StoreUnavailable,
)
from ..context import CONTEXT, Handler
from .cache import HEADER
from .claims import HOLDER_TIMEOUT, MAX_OUTCOME_SIZE, Claim, FoundClaim
from .remote_answers import RemoteAnswers
from .shared_answer import SharedAnswer
from .shared_sinks import SharedSinkFactory
from .stored_outcome import encode_outcome, restore_outcome

POLL_INTERVAL = 0.25
"""Seconds between two reads of the claim of another process."""


class Claims(Protocol):
    """The interface of `claims.RedisClaims` and `stored_claims.StoredClaims`."""

    def covers(self, *, has_client_key: bool) -> bool:
        """Whether requests with, or without, a client's `Idempotency-Key` are claimed."""
        ...

    def new_claim(self, scope: str, name: str, fingerprint: bytes, answer_id: str = "") -> Claim: ...

    async def acquire(self, claim: Claim) -> FoundClaim | None: ...

    async def find_outcome(self, claim: Claim) -> bytes | None: ...

    def end(self, claim: Claim, outcome: bytes | None, *, ttl: float) -> None: ...

    async def close(self) -> None: ...


class ClaimedRuns:
    """Claims the runs of one process whose requests have a name. Claims nothing if `claims` is None."""

    def __init__(self, config: Config, claims: Claims | None, remote: RemoteAnswers) -> None:
        self._ttl = config.idempotency_ttl
        self._max_size = min(config.max_idempotent_answer, MAX_OUTCOME_SIZE)
        self._claims = claims
        self._remote = remote

    def wrap(self, handler: Handler) -> Handler:
        """Returns a handler that claims a run whose answer is shared, and passes on other requests unchanged."""
        claims = self._claims
        if claims is None:
            return handler

        async def run_claimed(request: web.Request) -> web.StreamResponse:
            sinks = request[CONTEXT].sinks
            if (
                isinstance(sinks, SharedSinkFactory)
                and sinks.shared.fingerprint
                and claims.covers(has_client_key=sinks.shared.has_client_key)
            ):
                return await self._run(request, handler, sinks.shared, claims)
            return await handler(request)

        return run_claimed

    async def shutdown(self) -> None:
        """Called after the last run; waits until all outcomes are stored."""
        if self._claims is not None:
            await self._claims.close()

    async def _run(
        self, request: web.Request, handler: Handler, shared: SharedAnswer, claims: Claims
    ) -> web.StreamResponse:
        answer_id = shared.kept.id if shared.kept is not None else ""
        claim = claims.new_claim(shared.scope, shared.key, shared.fingerprint, answer_id)
        shared.is_copy = True
        outcome = await _acquire(claims, claim, _Elsewhere(shared, self._remote))
        if outcome is not None:
            if outcome:
                restore_outcome(outcome, shared)
            return web.Response()
        shared.is_copy = False
        shared.is_followed = lambda: claim.is_followed
        failure: ProxyError = InternalError()
        try:
            return await handler(request)
        except ProxyError as error:
            failure = error
            raise
        except asyncio.CancelledError:
            failure = IdempotentAnswerGone("The run of this request was stopped. The agent is not run twice.")
            raise
        finally:
            claims.end(claim, self._outcome(shared, failure), ttl=self._ttl)

    def _outcome(self, shared: SharedAnswer, failure: ProxyError) -> bytes | None:
        """The outcome to store; None if another run is allowed. `failure`: of a run without a complete answer."""
        reason = shared.failure or (None if shared.buffer.complete else failure)
        if reason is not None and reason.should_retry is not False:
            return None
        return encode_outcome(shared, None if shared.buffer.complete else reason, max_size=self._max_size)


class _Elsewhere:
    """Sends the answer of another process to the readers of this one."""

    def __init__(self, shared: SharedAnswer, remote: RemoteAnswers) -> None:
        self._shared = shared
        self._remote = remote
        self.required = shared.has_client_key
        """The request must not run without a claim."""
        # state
        self._has_events = True

    async def send(self, answer_id: str) -> bool:
        """Sends the answer of this id to the readers; returns whether that was possible. Raises ProxyError."""
        kept = self._shared.kept
        if kept is None or not answer_id:
            return False
        if not kept.reads_events:
            return await kept.adopt(answer_id)
        sent = await self._remote.copy(self._shared, kept, answer_id) if self._has_events else False
        self._has_events = sent is not False
        return sent is True


async def _acquire(claims: Claims, claim: Claim, elsewhere: _Elsewhere) -> bytes | None:
    """Returns None if this process has to run the request; otherwise the outcome of the run in another process, or no
    bytes if the readers have the answer already.

    Raises the failure of that run, IdempotencyKeyReused, IdempotentAnswerGone, and StoreUnavailable if the claim is
    required.
    """
    loop = asyncio.get_running_loop()
    seen: float | None = None
    """The loop's time at which another process was last seen to have the claim."""
    while True:
        try:
            found = await claims.acquire(claim)
            if found is None:
                return None
            seen = loop.time()
            _check_fingerprint(found, claim)
            if await elsewhere.send(found.answer_id):
                return b""
            if _has_ended(found):
                return await _read_outcome(claims, claim)
        except StoreUnavailable as error:
            if seen is None and not elsewhere.required:
                return None
            if seen is None or loop.time() - seen > HOLDER_TIMEOUT:
                raise StoreUnavailable(
                    "What this server stores of earlier requests cannot be reached, so it is not known whether this "
                    "request has run. Send it again a little later."
                ) from error
        await asyncio.sleep(POLL_INTERVAL)


def _check_fingerprint(found: FoundClaim, claim: Claim) -> None:
    """Raises IdempotencyKeyReused."""
    if found.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused(f"This {HEADER} belongs to another request; give each request a key of its own.")


def _has_ended(found: FoundClaim) -> bool:
    """Raises IdempotentAnswerGone."""
    if not found.has_ended and found.age > HOLDER_TIMEOUT:
        raise IdempotentAnswerGone(
            "The process that ran this request has stopped without an answer. The agent is not run twice."
        )
    return found.has_ended


async def _read_outcome(claims: Claims, claim: Claim) -> bytes:
    """Raises IdempotentAnswerGone."""
    outcome = await claims.find_outcome(claim)
    if outcome is None:
        raise IdempotentAnswerGone(
            "The run of this request has ended, and its answer is not stored any more. The agent is not run twice."
        )
    return outcome
