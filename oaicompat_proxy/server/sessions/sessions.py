"""Which session of the gateway a request runs in, and what becomes of it afterwards (decisions D8 and D9).

A request holds a lease on one session, and a permit for its run. A session that nobody named or recognises is closed
when the lease ends, which also stops a run that is still going on. A session that keeps its history is held until
its run is over: without its reader the run is read on in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import web

from ...config.settings import Config
from ...core.errors import SessionsUnavailable
from ...core.signing import SigningKeys
from ..upstream.abort import ask_to_abort
from ..upstream.approvals import ResumedRun
from ..upstream.gateway_client import Upstream
from ..upstream.session_closer import Closing
from .continuations import Continuations
from .fingerprints import AnswerDigest
from .lease import Lease, Wanted, fresh_name
from .leasing import Leasing
from .locks import SessionLocks
from .named_sessions import SessionNames
from .run_limiter import RunLimiter
from .settlement import Settling
from .store import SessionStore

log = logging.getLogger(__name__)

SWEEP = 60.0
"""Seconds between looks for sessions that are too old to be continued."""


class Sessions:
    """Leases sessions, and settles them."""

    def __init__(
        self,
        upstream: Upstream,
        config: Config,
        keys: SigningKeys,
        *,
        limiter: RunLimiter,
        closer: Closing,
        locks: SessionLocks,
        store: SessionStore,
        names: SessionNames,
    ) -> None:
        self._upstream = upstream
        self._limiter = limiter
        self._closer = closer
        self._locks = locks
        self._store = store
        self._known = known = Continuations(keys, store, names, recognises=config.sessions == "recognise")
        self._settling = Settling(config, known, closer)
        self._leasing = Leasing(config, keys, known, limiter=limiter, locks=locks, settling=self._settling)
        # moving
        self.forgotten = 0
        """Sessions that the gateway had forgotten when their conversation went on."""
        self._leased = 0

    @property
    def busy(self) -> bool:
        """Whether a run goes on, or one that is over is being tidied up."""
        return bool(self._leased or self.settling)

    @property
    def settling(self) -> set[asyncio.Task[None]]:
        """What is done behind answers, a session each."""
        return self._settling.tasks

    @property
    def cancelled(self) -> int:
        """Runs that were stopped before their end."""
        return self._settling.cancelled

    async def begin(self, wanted: Wanted) -> Lease:
        """A lease that has to be ended. Raises SessionBusy if the session's last run does not end in time, and what
        RunLimiter.acquire raises.
        """
        self._leased += 1
        try:
            lease = await self._leasing.lease(wanted, self._upstream.speaking_for(wanted.caller))
        except BaseException:
            self._leased -= 1
            raise
        try:
            lease.permit = await self._limiter.acquire(wanted.caller, wanted.size)
            if lease.lost:
                raise SessionsUnavailable("The lock of this session was lost in Redis; nothing was run, so try again.")
        except BaseException:
            self.end(lease)
            raise
        return lease

    def end(self, lease: Lease) -> None:
        """The request is answered, or has failed."""
        self._leased -= 1
        self._settling.finalize(lease)

    def new_digest(self, wanted: Wanted) -> AnswerDigest | None:
        """Follows the answer, if its conversation can be continued."""
        return self._known.follow(wanted)

    async def remember(self, lease: Lease, digest: AnswerDigest) -> None:
        """The conversation, with the answer that was given, continues in this session, once its run is over."""
        lease.recognised_by = None
        if not lease.exact:
            return
        lease.remembered_by = digest.hexdigest()
        with contextlib.suppress(SessionsUnavailable):
            if lease.release is None:
                lease.release = await self._locks.acquire(lease.key, wait=0, on_lost=lease.lose, is_new=True)
            lease.keep = await self._settling.keep(lease, lease.remembered_by)

    async def find_resumed(self, wanted: Wanted, key: str) -> Lease | None:
        """The session whose run waited for this request, if it has answered exactly what stands before. The request
        that began the run has the lock; this is no lease that has to be ended, but `remember` and `drop` it.
        """
        if not wanted.name or wanted.native:
            return None
        lease = Lease(wanted.app, key, self._upstream.speaking_for(wanted.caller), history="last")
        return lease if await self._leasing.identify(lease, wanted) else None

    async def remember_resumed(self, lease: Lease, digest: AnswerDigest) -> None:
        lease.keep = await self._settling.keep(lease, digest.hexdigest())

    def drop(self, lease: Lease) -> None:
        """After the rest of the answer: what nobody finds any more is closed."""
        if not (lease.keep or lease.own):
            self._closer.close_soon(lease.key, lease.upstream)

    def replace_forgotten(self, lease: Lease) -> None:
        """The gateway has forgotten the session: its run is stopped, and another session takes its place.

        The lease's run is to be begun again, with the whole conversation.
        """
        self.forgotten += 1
        log.warning("the gateway has forgotten session %s; its conversation is sent again", lease.key)
        self.replace(lease)

    def replace(self, lease: Lease) -> None:
        """Stops the run of a lease, whose session nobody else needs; another takes its place."""
        if lease.run is not None:
            lease.run.cut()
        self._settling.close_forgotten(lease)
        lease.key = lease.upstream.dialect.session_key(lease.app, fresh_name())
        lease.history, lease.keep, lease.own, lease.exact = "fold", False, False, True
        lease.sent_again = True
        lease.release = lease.recognised_by = lease.run = None

    def note_forgotten(self, lease: Lease) -> None:
        """The same where the client has sent nothing but its newest message: it gets the answer to that."""
        self.forgotten += 1
        log.warning(
            "the gateway has forgotten session %s, and its client sends only its newest message: the agent answers "
            "that without what was said before",
            lease.key,
        )

    def abandon(self, key: str, upstream: Upstream) -> None:
        """Stops a run that was begun by an earlier request, and that nobody reads any more."""
        self._settling.cancelled += 1
        self._closer.close_soon(key, upstream)

    def leave(self, run: ResumedRun, key: str, upstream: Upstream, *, answered: bool) -> None:
        """Nobody reads the rest of a run that waited. In a session that goes on it is interrupted, where the gateway
        can and its reader has not got the whole answer: whoever holds the session sees it end.
        """
        if run.ownerless:
            self.abandon(key, upstream)
        elif run.goes_on and not answered:
            self._settling.in_background(ask_to_abort(upstream, key))

    async def sweep(self) -> None:
        """Closes, for as long as the process lives, what nobody came back to."""
        task = asyncio.current_task()
        while (
            task is None or not task.cancelling()
        ):  # a cancellation in the middle of Redis's answer may get lost there
            await asyncio.sleep(SWEEP)
            with contextlib.suppress(SessionsUnavailable):
                for key in await self._store.expire():
                    self._closer.close_soon(key)

    async def settle(self) -> None:
        """At the end of the process: runs without a reader are left to themselves."""
        await self._settling.stop()
        for key in await self._store.leave():
            self._closer.close_soon(key)
        await self._closer.settle()

    async def retire(self) -> None:
        """The same where others go on with these sessions."""
        await self._settling.stop()
        await self._closer.settle()


SESSIONS = web.AppKey("oaicompat_proxy.sessions", Sessions)
