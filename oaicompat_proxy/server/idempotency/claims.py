"""Claims of runs in Redis: of all processes that share it, only one runs a request that has a name (decision D12).

A claim is a key whose value contains the request's fingerprint and the holder. The holder renews the key every
RENEWAL_INTERVAL; the key's remaining TTL shows when it was last renewed, by Redis' own clock. The claim stays when its
run has ended, and the outcome is stored under a second key, where later retries read it. Two failures are handled:

- Redis loses its data (a restart, FLUSHALL). The session locks detect that. Each process sets its claims again at its
  next renewal, also those of runs that have ended; until then no claim is granted.
- A holder dies. Its claim stays for RUNNING_TTL, and a retry gets the error that the answer is gone: the agent may
  have acted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.caller import Owner, owner_mark
from ...core.errors import IdempotentAnswerGone, StoreUnavailable
from ..sessions import redis_locks
from ..sessions.redis_locks import HEARTBEAT, HEARTBEAT_TTL, LOSS
from ..shared_storage.bounded_keys import SET_BOUNDED
from ..shared_storage.checksums import add_checksum, check, report_damage
from ..shared_storage.redis_client import find_keys, mapped_errors
from .claim_scripts import ACQUIRE, END, LOOK_FOR_LOSS, RENEW

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

RUNNING_TTL = 600.0
"""Seconds that the claim of a process that died stays."""

RENEWAL_INTERVAL = 1.0
"""Seconds between renewals of all claims of a process."""

HOLDER_TIMEOUT = 10.0
"""Seconds without a renewal after which the holder counts as dead."""

FOLLOWER_TTL = 5.0
"""Seconds for which a holder knows that another process waits for its run."""

MAX_CLAIMS = 100_000
"""Claims of all gateways and replicas, of some 200 bytes; the oldest are deleted."""

MAX_OUTCOMES = 1000
"""Outcomes of all gateways and replicas; the oldest are deleted."""

MAX_OUTCOME_SIZE = 256 * 1024
"""Bytes of an outcome: all of them are at most 256 MB."""

CANCEL_INTERVAL = 0.1
"""Seconds between two cancellations of the renewals."""

LOSS_POLL = 0.25
"""Seconds between two attempts to get a claim after a loss of data."""

BATCH_SIZE = 500
"""Claims that one command renews."""

MAX_REMEMBERED = 1000
"""Ended claims that a process can set again after a loss; the oldest are forgotten."""

_PREFIX = "oaicompat:run:"
_OUTCOME = ":outcome"
_CLAIMS = "oaicompat:runs"
_OUTCOMES = "oaicompat:outcomes"


class FoundClaim(NamedTuple):
    """The claim of another process."""

    fingerprint: str
    has_ended: bool
    age: float
    """Seconds since the holder renewed the claim, if its run has not ended."""
    answer_id: str = ""
    """The id of the answer, if it can be read by its id."""


@dataclass(slots=True, eq=False)
class Claim:
    """The right to run a request. `fingerprint`: shows whether the client has used the name for another request."""

    key: str
    fingerprint: str
    scope: str = ""
    """The scope of the caller."""
    answer_id: str = ""
    """The id of the answer, if it can be read by its id."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    # state
    is_followed: bool = False
    """Another process waits for the run."""
    has_outcome: bool = False
    """The run has ended, and its outcome is stored, or is being stored."""

    @property
    def running(self) -> str:
        return f"running {self.fingerprint} {self._holder}"

    @property
    def ended(self) -> str:
        return f"ended {self.fingerprint} {self._holder}"

    @property
    def _holder(self) -> str:
        return f"{self.token}/{self.answer_id}" if self.answer_id else self.token

    @property
    def followers(self) -> str:
        return f"{self.key}:followers"

    @property
    def outcome(self) -> str:
        return f"{self.key}{_OUTCOME}"


class RedisClaims:
    """The claims of one process."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        """`namespace`: prefix of this gateway's keys."""
        self._redis = redis
        self._namespace = namespace
        self._acquire = redis.register_script(ACQUIRE)
        self._renew = redis.register_script(RENEW)
        self._end = redis.register_script(END)
        self._look_for_loss = redis.register_script(LOOK_FOR_LOSS)
        self._set_bounded = redis.register_script(SET_BOUNDED)
        # state
        self._held: dict[str, Claim] = {}
        """The claims of running requests, by their value in Redis."""
        self._ended: dict[str, tuple[Claim, float]] = {}
        """The claims of ended runs, by value, each with the loop's time of its expiry; oldest first."""
        self._renewing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def covers(self, *, has_client_key: bool) -> bool:
        return True

    def new_claim(self, scope: str, name: str, fingerprint: bytes, answer_id: str = "") -> Claim:
        """A claim that is not acquired yet. `scope`: of the caller; `name`: of the request."""
        key = _PREFIX + owner_mark(scope) + claim_digest(self._namespace, scope, name)
        return Claim(key, fingerprint.hex(), scope, answer_id)

    async def acquire(self, claim: Claim) -> FoundClaim | None:
        """Returns None if this process has the claim now, else the claim found.

        Raises StoreUnavailable, and IdempotentAnswerGone for a damaged claim.
        """
        try:
            while (found := await self._try(claim)) == b"lost":  # noqa: ASYNC110 -- others set their claims again
                await asyncio.sleep(LOSS_POLL)
        except BaseException:
            self.end(claim, None, ttl=0)  # Redis may have granted it although its reply was not read
            raise
        if isinstance(found, list) and found[0] != claim.running.encode():
            state, fingerprint, holder = parse_claim(claim.key, found[0], words=3)
            return FoundClaim(fingerprint, state == "ended", RUNNING_TTL - found[1] / 1000, holder.partition("/")[2])
        self._held[claim.running] = claim
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_forever(), name="renew run claims")
        return None

    async def _try(self, claim: Claim) -> Any:
        keys = [claim.key, _CLAIMS, claim.followers, HEARTBEAT, LOSS]
        arguments: list[str | float] = [claim.running, _ms(RUNNING_TTL), time.time(), MAX_CLAIMS, _ms(FOLLOWER_TTL)]
        with mapped_errors():
            return await self._acquire(keys, [*arguments, _ms(HEARTBEAT_TTL), _ms(redis_locks.GRACE)])

    async def find_outcome(self, claim: Claim) -> bytes | None:
        """Raises StoreUnavailable."""
        with mapped_errors():
            outcome: Any = await self._redis.get(claim.outcome)
        return None if outcome is None else check(claim.outcome, outcome)

    def end(self, claim: Claim, outcome: bytes | None, *, ttl: float) -> None:
        """Stores the outcome for `ttl` seconds in the background. Without an outcome the claim is deleted."""
        self._held.pop(claim.running, None)
        claim.has_outcome = outcome is not None
        if outcome is not None and ttl > 0:
            self._remember(claim, ttl)
        task = asyncio.create_task(self._store(claim, outcome, ttl), name="end a run claim")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def count(self, owner: Owner) -> int:
        """Number of outcomes of this owner's runs. Raises StoreUnavailable."""
        return len(await self._find_outcomes(owner))

    async def remove(self, owner: Owner) -> int:
        """Removes this owner's outcomes and their claims, and returns their number. Raises StoreUnavailable."""
        outcomes = await self._find_outcomes(owner)
        for each in outcomes:
            with mapped_errors():
                await self._redis.delete(each, each.removesuffix(_OUTCOME))
        self._ended = {value: each for value, each in self._ended.items() if f"{each[0].key}{_OUTCOME}" not in outcomes}
        return len(outcomes)

    async def _find_outcomes(self, owner: Owner) -> list[str]:
        return await find_keys(self._redis, f"{_PREFIX}{owner.mark}*{_OUTCOME}")

    async def close(self) -> None:
        """Waits until all outcomes are stored, and stops the renewals."""
        while self._renewing is not None and not self._renewing.done():
            self._renewing.cancel()
            await asyncio.wait([self._renewing], timeout=CANCEL_INTERVAL)  # redis-py may lose a cancellation
        if self._ending:
            await asyncio.wait(list(self._ending))

    async def _store(self, claim: Claim, outcome: bytes | None, ttl: float) -> None:
        """Stores the outcome before the claim ends: an ended claim without an outcome means that the answer is gone."""
        ended: list[str | int] = ["", 0]
        try:
            with mapped_errors():
                if outcome is not None and ttl > 0:
                    ended = [claim.ended, _ms(ttl)]
                    outcome = add_checksum(claim.outcome, outcome)
                    await self._set_bounded([claim.outcome, _OUTCOMES], [outcome, _ms(ttl), time.time(), MAX_OUTCOMES])
                await self._end([claim.key], [claim.running, *ended])
        except StoreUnavailable as error:
            log.warning("the outcome of a request is not shared with other workers, as Redis fails: %s", error.cause)

    async def _renew_forever(self) -> None:
        from ..shared_storage.bounded_redis import PROBES

        PROBES.set(True)
        while True:
            claims = list(self._held.values())
            await self._restore_ended()
            for start in range(0, len(claims), BATCH_SIZE):
                await self._renew_batch(claims[start : start + BATCH_SIZE])
            await asyncio.sleep(RENEWAL_INTERVAL)

    def _remember(self, claim: Claim, ttl: float) -> None:
        now = asyncio.get_running_loop().time()
        self._ended[claim.ended] = claim, now + ttl
        while len(self._ended) > MAX_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def _restore_ended(self) -> None:
        """Sets the claims of runs that have ended again if Redis has lost its data: their outcomes are gone."""
        if not (self._held or self._ended):
            return
        now = asyncio.get_running_loop().time()
        self._ended = {value: each for value, each in self._ended.items() if each[1] > now}
        with contextlib.suppress(StoreUnavailable), mapped_errors():
            if not await self._look_for_loss([HEARTBEAT, LOSS], [_ms(HEARTBEAT_TTL), _ms(redis_locks.GRACE)]):
                return
            for value, (claim, until) in list(self._ended.items()):
                await self._redis.set(claim.key, value, px=_ms(until - now), nx=True)

    async def _renew_batch(self, claims: list[Claim]) -> None:
        claims = [claim for claim in claims if claim.running in self._held]
        keys = [key for claim in claims for key in (claim.key, claim.followers)]
        try:
            with mapped_errors():
                followed = await self._renew(keys, [_ms(RUNNING_TTL), *(claim.running for claim in claims)])
        except StoreUnavailable:
            return
        for claim in claims:
            claim.is_followed = claim.running.encode() in followed
            if claim.running not in self._held and not claim.has_outcome:
                # ended meanwhile, and perhaps set again by this renewal
                self.end(claim, None, ttl=0)


def claim_digest(namespace: str, scope: str, name: str) -> str:
    words = "\0".join((namespace, scope, name))
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


_CLAIM = re.compile(r"(?:running|ended) [0-9a-f]+(?: [\x21-\x7e]+)++")


def parse_claim(key: str, found: bytes, *, words: int) -> list[str]:
    """The words of a stored claim: its state, its fingerprint, its holder, and what a store adds.

    Raises IdempotentAnswerGone if it is damaged: the run may have begun.
    """
    text = found.decode("latin-1")
    if _CLAIM.fullmatch(text) and text.count(" ") == words - 1:
        return text.split(" ")
    report_damage(key)
    raise IdempotentAnswerGone("What is stored of this request is damaged, so the agent is not run again.")


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
