"""Leases sessions of the gateway to requests (decision D8), and finalizes them afterwards (decision D9).

A request holds a lease on one session, and a permit for its run. A session that no later request can continue in is
closed when the lease ends, which also stops a run that is still going on. A session that keeps its history stays locked
until its run is over: the run of a client that has left is aborted, or read to its end in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ...config.settings import Config
from ...core.caller import Caller
from ...core.errors import StoreUnavailable
from ...core.signing import SigningKeys
from ..upstream.continued_run import ContinuedRun
from ..upstream.gateway_client import Upstream
from ..upstream.session_closer import SessionCloser
from .continued_lease import ContinuedLease
from .conversations import Conversations
from .finalizer import Finalizer
from .fingerprints import AnswerFingerprint, PointFingerprint
from .lease import Lease, SessionRequest, new_session_name
from .locks import ReleaseLock, SessionLocks
from .named_sessions import SessionNames
from .run_limiter import RunLimiter
from .session_finder import SessionFinder
from .store import SessionStore

log = logging.getLogger(__name__)

Fingerprint = AnswerFingerprint | PointFingerprint

SWEEP_INTERVAL = 60.0
"""Seconds between searches for expired sessions."""


def _nothing() -> None:
    pass


class Sessions:
    def __init__(
        self,
        upstream: Upstream,
        config: Config,
        keys: SigningKeys,
        *,
        limiter: RunLimiter,
        closer: SessionCloser,
        locks: SessionLocks,
        store: SessionStore,
        names: SessionNames,
    ) -> None:
        self._upstream = upstream
        self._limiter = limiter
        self._closer = closer
        self._locks = locks
        self._store = store
        self._conversations = Conversations(keys, store, names, recognises=config.sessions == "recognise")
        self._finalizer = Finalizer(config, self._conversations, closer)
        self._finder = SessionFinder(
            config, keys, self._conversations, limiter=limiter, locks=locks, finalizer=self._finalizer
        )
        # state
        self.forgotten = 0
        """Number of sessions that the gateway had lost when their conversation continued."""
        self._leased = 0

    @property
    def busy(self) -> bool:
        """Whether a session is leased, or is being finalized."""
        return bool(self._leased or self.finalizing)

    @property
    def finalizing(self) -> set[asyncio.Task[None]]:
        """One task for each session that is being finalized."""
        return self._finalizer.tasks

    @property
    def cancelled(self) -> int:
        """Number of runs that were stopped before their end."""
        return self._finalizer.cancelled

    async def lease(self, request: SessionRequest) -> Lease:
        """Returns a lease with a lock and a permit, as a context manager.

        Raises SessionBusy if the session's lock is not released in time, and what RunLimiter.acquire raises.
        """
        self._leased += 1
        try:
            lease = await self._finder.find(request, self._upstream.with_credentials_of(request.caller))
        except BaseException:
            self._leased -= 1
            raise
        lease.on_exit = self._finalize
        try:
            limiter, caller = self._limiter, request.caller
            lease.permit = limiter.acquire_now(caller) or await limiter.acquire(caller, request.size)
            if lease.lock_lost:
                raise StoreUnavailable("The lock of this session was lost in Redis; nothing was run, so try again.")
        except BaseException:
            self._finalize(lease)
            raise
        return lease

    async def lock_entry(self, name: str, caller: Caller, size: int) -> ReleaseLock:
        """Locks a stored entry of the caller, so that one request at a time changes it.

        A lost lock does no harm: an entry is replaced only if it is as it was read.
        Raises SessionBusy, Overloaded, StoreUnavailable.
        """
        return await self._finder.lock(f"entry {caller.scope} {name}", caller, size, _nothing)

    def _finalize(self, lease: Lease) -> None:
        self._leased -= 1
        self._finalizer.finalize(lease)

    def new_fingerprint(self, request: SessionRequest) -> Fingerprint | None:
        """As `Conversations.new_fingerprint`."""
        if request.point and self._upstream.dialect.gateway is None and not request.keeps_threads:
            request.point = ""  # no agent remembers the session after its run
        return self._conversations.new_fingerprint(request)

    async def store(self, lease: Lease, fingerprint: Fingerprint) -> None:
        """Stores the session, so that the conversation with this answer continues there once the run is over."""
        if lease.awaits_client and not lease.named:  # the client's reply contains the session's key
            return
        lease.matched_fingerprint = None
        if not lease.exact:
            return
        lease.stored_fingerprint = fingerprint.hexdigest()
        with contextlib.suppress(StoreUnavailable):
            if not lease.locked:
                lease.hold_lock(await self._locks.acquire(lease.key, wait=0, on_lost=lease.on_lock_lost, is_new=True))
            lease.persistent = await self._finalizer.store(lease, lease.stored_fingerprint)

    async def lease_continued(self, request: SessionRequest, run: ContinuedRun, key: str) -> ContinuedLease:
        """`key`: of the session whose run waited for this request. Raises what RunLimiter.acquire raises."""
        upstream = self._upstream.with_credentials_of(request.caller)
        permit = await self._limiter.acquire(request.caller, request.size)
        try:
            session = await self._claim_continued(request, key, upstream)
        except BaseException:
            permit.release()
            raise
        return ContinuedLease(run, key, upstream, permit, session, self._finalizer.finalize_continued)

    async def _claim_continued(self, request: SessionRequest, key: str, upstream: Upstream) -> Lease | None:
        if not request.name or request.native:
            return None
        session = Lease(request.app, key, upstream, history="last")
        return session if await self._finder.claim_history(session, request) else None

    async def store_continued(self, lease: ContinuedLease, fingerprint: Fingerprint | None) -> None:
        """Like `store`, for the answer to a reply."""
        if lease.session is not None and fingerprint is not None:
            lease.session.persistent = await self._finalizer.store(lease.session, fingerprint.hexdigest())

    def replace_forgotten(self, lease: Lease) -> None:
        """Leases another session for one that the gateway has lost; the conversation has to be sent again."""
        self.forgotten += 1
        log.warning("session %s was lost by the gateway: its conversation is sent again", lease.key)
        self.replace(lease)

    def replace(self, lease: Lease) -> None:
        """Stops the run, closes its session, which no other request needs, and leases a new one."""
        if lease.run is not None:
            lease.run.abort()
        self._finalizer.close_replaced(lease)
        lease.key = lease.upstream.dialect.session_key(lease.app, new_session_name())
        lease.history, lease.persistent, lease.primary, lease.exact = "fold", False, False, True
        lease.replaced = True
        lease.matched_fingerprint = lease.run = None

    def report_forgotten(self, lease: Lease) -> None:
        """Logs and counts that the gateway has lost a session whose client has sent only its newest message."""
        self.forgotten += 1
        log.warning(
            "session %s was lost by the gateway, and its client sends only its newest message: the agent answers "
            "without the conversation before it",
            lease.key,
        )

    async def sweep(self) -> None:
        """Closes expired sessions, until it is cancelled."""
        task = asyncio.current_task()
        while task is None or not task.cancelling():  # redis-py may swallow a cancellation
            await asyncio.sleep(SWEEP_INTERVAL)
            with contextlib.suppress(StoreUnavailable):
                for key in await self._store.expire():
                    self._closer.close_soon(key)

    async def shutdown(self) -> None:
        """Closes the sessions that no other process can find. Called at the end of the process."""
        await self._finalizer.shutdown()
        for key in await self._store.clear():
            self._closer.close_soon(key)
        await self._closer.shutdown()

    async def hand_over(self) -> None:
        """Finishes all work and leaves the stored sessions to the next runtime. Called after a reload."""
        await self._finalizer.shutdown()
        await self._closer.shutdown()
