"""Finds the session of a request (decisions D8 and D15), and waits for its lock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import product

from ...config.settings import Config
from ...core.caller import Caller, owner_mark
from ...core.errors import SessionBusy, StoreUnavailable
from ...core.signing import SigningKeys
from ..event_loop.yielding import LARGE_REQUEST, yield_control
from ..upstream.gateway_client import Upstream
from .conversations import Conversations
from .finalizer import Finalizer
from .fingerprints import derive_session_name
from .lease import Lease, SessionRequest, new_session_name
from .locks import OnLost, ReleaseLock, SessionLocks
from .run_limiter import RunLimiter


class SessionFinder:
    """Finds the session in which a conversation continues, or makes a new one."""

    def __init__(
        self,
        config: Config,
        keys: SigningKeys,
        conversations: Conversations,
        *,
        limiter: RunLimiter,
        locks: SessionLocks,
        finalizer: Finalizer,
    ) -> None:
        self._wait = config.session_wait
        self._keys = keys
        self._conversations = conversations
        self._limiter = limiter
        self._locks = locks
        self._finalizer = finalizer

    async def find(self, request: SessionRequest, upstream: Upstream) -> Lease:
        """Leases a session. Raises SessionBusy if its lock is not released in time, Overloaded if too many wait."""
        has_gateway = upstream.dialect.gateway is not None
        if request.key:
            return await self._lease_key(request, upstream)
        if not has_gateway and not request.keeps_threads:  # no agent remembers the session after its run
            if not request.name:
                return self._new(request, upstream)
            key = self.primary_keys(request, upstream)[0]
            return await self._lock(Lease(request.app, key, upstream, history="full"), request)
        fingerprints = self._conversations.fingerprints(request)
        if request.size > LARGE_REQUEST:
            await yield_control()
        if request.name:
            return await self._lease_named(request, upstream, fingerprints)
        lease = await self._lease_continued(request, upstream, fingerprints) if fingerprints else None
        return lease or self._new(request, upstream)

    async def _lease_key(self, request: SessionRequest, upstream: Upstream) -> Lease:
        """Leases the session that waits for this request, or that the client named by the gateway's own key."""
        has_gateway = upstream.dialect.gateway is not None
        history = "last" if has_gateway or request.keeps_threads else "full"
        lease = Lease(request.app, request.key, upstream, history=history, persistent=has_gateway)
        lease.native = request.native
        await self._lock(lease, request)
        if request.keeps_threads and request.name and not request.native:
            async with self._released_on_failure(lease):
                lease.exact = await self.claim_history(lease, request)
        return lease

    async def claim_history(self, lease: Lease, request: SessionRequest) -> bool:
        """Returns whether the lease's session, which has a name, has answered exactly the request's conversation.

        If so, no other request finds the session by it any more.
        """
        lease.named, lease.primary = True, lease.key in self.primary_keys(request, lease.upstream)
        for fingerprint in self._conversations.fingerprints(request):
            if lease.primary and await self._conversations.claim_primary(lease.key, fingerprint):
                return True
            if not lease.primary and await self._conversations.claim(fingerprint) == lease.key:
                return True
        return False

    async def _lease_named(self, request: SessionRequest, upstream: Upstream, fingerprints: Sequence[str]) -> Lease:
        """Leases the session that has answered this conversation, otherwise a new one.

        User messages alone continue in the primary session, unless clients send whole conversations under this name.
        """
        is_whole = await self._conversations.is_whole(request)
        lease = await self._continue_primary(request, upstream, fingerprints)
        lease = lease or await self._lease_continued(request, upstream, fingerprints)
        if lease is not None:
            return lease
        if is_whole:
            return self._new(request, upstream)
        key = await self._conversations.newest_in_use(
            self.primary_keys(request, upstream), owner_mark(request.caller.scope)
        )
        lease = await self._lock(self._primary(request, upstream, key), request)
        async with self._released_on_failure(lease):
            lease.first = lease.exact = await self._conversations.mark_used(lease)
        return lease

    async def _continue_primary(
        self, request: SessionRequest, upstream: Upstream, fingerprints: Sequence[str]
    ) -> Lease | None:
        """Leases the primary session, of any signing key, that has answered this conversation."""
        for key, fingerprint in product(self.primary_keys(request, upstream), fingerprints):
            if await self._conversations.has_answered(key, fingerprint):
                return await self._claim_primary(request, self._primary(request, upstream, key), fingerprint)
        return None

    async def _claim_primary(self, request: SessionRequest, lease: Lease, fingerprint: str) -> Lease | None:
        await self._lock(lease, request)
        async with self._released_on_failure(lease):
            if await self._conversations.claim_primary(lease.key, fingerprint):
                lease.matched_fingerprint = fingerprint
                return lease
            await lease.release_lock()  # another request has claimed it first
        return None

    async def _lease_continued(
        self, request: SessionRequest, upstream: Upstream, fingerprints: Sequence[str]
    ) -> Lease | None:
        """Leases the session that has answered this conversation, if there is one."""
        for fingerprint in fingerprints:
            if (key := await self._conversations.claim(fingerprint)) is not None:
                return await self._lease_claimed(request, upstream, key, fingerprint)
        return None

    async def _lease_claimed(
        self, request: SessionRequest, upstream: Upstream, key: str, fingerprint: str
    ) -> Lease | None:
        lease = Lease(request.app, key, upstream, history="last", named=bool(request.name or request.continues))
        lease.matched_fingerprint = fingerprint
        try:
            return await self._lock(lease, request)
        except BaseException as error:
            self._finalizer.restore(lease)
            if isinstance(error, StoreUnavailable):
                return None
            raise

    def _new(self, request: SessionRequest, upstream: Upstream) -> Lease:
        history = "full" if upstream.dialect.gateway is None else "fold"
        key = upstream.dialect.session_key(request.app, new_session_name())
        lease = Lease(request.app, key, upstream, history)
        lease.named = bool(request.name or request.continues)
        return lease

    def _primary(self, request: SessionRequest, upstream: Upstream, key: str) -> Lease:
        persistent = upstream.dialect.gateway is not None  # otherwise a run ends with its connection
        lease = Lease(request.app, key, upstream, history="last", persistent=persistent, named=True, primary=True)
        lease.owner_mark = owner_mark(request.caller.scope)
        return lease

    def primary_keys(self, request: SessionRequest, upstream: Upstream) -> list[str]:
        """Keys of the name's primary session, one for each signing key, the newest key first."""
        scope, app = request.caller.scope, request.app
        names = [derive_session_name(key, scope, app, request.name) for key in self._keys.all]
        return [upstream.dialect.session_key(app, name) for name in names]

    async def _lock(self, lease: Lease, request: SessionRequest) -> Lease:
        """Waits for the lock of the session. Raises SessionBusy, and Overloaded if too many wait."""
        lock = self.lock(lease.key, request.caller, request.size, lease.on_lock_lost, on_wait=request.on_wait)
        lease.hold_lock(await lock)
        return lease

    async def lock(
        self, key: str, caller: Caller, size: int, on_lost: OnLost, *, on_wait: Callable[[str], None] | None = None
    ) -> ReleaseLock:
        """Waits for a lock. `size`: bytes of the request that waits. `on_wait`: as in SessionRequest.

        Raises SessionBusy, Overloaded if too many wait, and StoreUnavailable.
        """
        try:
            return await self._locks.acquire(key, wait=0, on_lost=on_lost)
        except SessionBusy:
            if not self._wait:
                raise
        if on_wait is not None:
            on_wait("session")
        with self._limiter.queued(caller, size):
            release = await self._locks.acquire(key, wait=self._wait, on_lost=on_lost)
        if on_wait is not None:
            on_wait("run")
        return release

    @contextlib.asynccontextmanager
    async def _released_on_failure(self, lease: Lease) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self._finalizer.in_background(lease.release_lock())
            raise
