"""Which session of the gateway a request gets (decisions D8 and D15), and the wait for the run before it there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import product

from ...config.settings import Config
from ...core.errors import SessionBusy, SessionsUnavailable
from ...core.signing import SigningKeys
from ..turns import give_way
from ..upstream.gateway_client import Upstream
from .continuations import Continuations
from .fingerprints import named_session
from .lease import Lease, Wanted, fresh_name
from .locks import SessionLocks
from .run_limiter import RunLimiter
from .settlement import Settling


class Leasing:
    """Finds the session that continues a conversation, or makes another."""

    def __init__(
        self,
        config: Config,
        keys: SigningKeys,
        known: Continuations,
        *,
        limiter: RunLimiter,
        locks: SessionLocks,
        settling: Settling,
    ) -> None:
        self._wait = config.session_wait
        self._keys = keys
        self._known = known
        self._limiter = limiter
        self._locks = locks
        self._settling = settling

    async def lease(self, wanted: Wanted, upstream: Upstream) -> Lease:
        """Raises SessionBusy if the session's last run does not end in time, and Overloaded if too many wait."""
        app, in_full = wanted.app, upstream.dialect.gateway is None
        if wanted.key:
            return await self._lease_key(wanted, upstream)
        if in_full and not wanted.keeps_threads:  # nobody else remembers, so nothing outlasts its run
            if not wanted.name:
                return self._fresh(wanted, upstream)
            return await self._lock(Lease(app, self.own_keys(wanted, upstream)[0], upstream, history="full"), wanted)
        digests = self._known.digests(wanted)
        await give_way(wanted.size)
        if wanted.name:
            return await self._lease_named(wanted, upstream, digests)
        return await self._recognise(wanted, upstream, digests) or self._fresh(wanted, upstream)

    async def _lease_key(self, wanted: Wanted, upstream: Upstream) -> Lease:
        """On a session that waits for this request, or that is not ours to name."""
        in_full = upstream.dialect.gateway is None
        history = "full" if in_full and not wanted.keeps_threads else "last"
        lease = Lease(wanted.app, wanted.key, upstream, history=history, lasting=not in_full)
        lease.native = wanted.native
        await self._lock(lease, wanted)
        if wanted.keeps_threads and wanted.name and not wanted.native:
            async with self._given_back_on_failure(lease):
                lease.exact = await self.identify(lease, wanted)
        return lease

    async def identify(self, lease: Lease, wanted: Wanted) -> bool:
        """Whether the lease's session, one under a name, has answered exactly what stands before. Then nobody else
        finds it any more.
        """
        lease.named, lease.own = True, lease.key in self.own_keys(wanted, lease.upstream)
        for digest in self._known.digests(wanted):
            if lease.own and await self._known.claim(lease.key, digest):
                return True
            if not lease.own and await self._known.take(digest) == lease.key:
                return True
        return False

    async def _lease_named(self, wanted: Wanted, upstream: Upstream, digests: Sequence[str]) -> Lease:
        """On the session that has answered this very conversation; else on one of its own, without waiting. What
        only a user says goes to the name's own session, as long as no other kind of request came under the name.
        """
        is_whole = await self._known.is_whole(wanted)
        lease = await self._continue_own(wanted, upstream, digests)
        lease = lease or await self._recognise(wanted, upstream, digests)
        if lease is not None:
            return lease
        if is_whole:
            return self._fresh(wanted, upstream)
        key = await self._known.choose(self.own_keys(wanted, upstream))
        lease = await self._lock(self._own(wanted, upstream, key), wanted)
        async with self._given_back_on_failure(lease):
            lease.first = lease.exact = await self._known.use(lease.key)
        return lease

    async def _continue_own(self, wanted: Wanted, upstream: Upstream, digests: Sequence[str]) -> Lease | None:
        """A lease on the name's own session, if it has answered exactly this; also on one of an older secret."""
        for key, digest in product(self.own_keys(wanted, upstream), digests):
            if await self._known.has_answered(key, digest):
                return await self._claim_own(wanted, self._own(wanted, upstream, key), digest)
        return None

    async def _claim_own(self, wanted: Wanted, lease: Lease, digest: str) -> Lease | None:
        await self._lock(lease, wanted)
        async with self._given_back_on_failure(lease):
            if await self._known.claim(lease.key, digest):
                lease.recognised_by = digest
                return lease
            await lease.give_back()  # somebody was here before
        return None

    async def _recognise(self, wanted: Wanted, upstream: Upstream, digests: Sequence[str]) -> Lease | None:
        """A lease on the session that gave the last of these answers, if there is one."""
        for digest in digests:
            if (key := await self._known.take(digest)) is not None:
                return await self._lease_recognised(wanted, upstream, key, digest)
        return None

    async def _lease_recognised(self, wanted: Wanted, upstream: Upstream, key: str, digest: str) -> Lease | None:
        lease = Lease(wanted.app, key, upstream, history="last", named=bool(wanted.name))
        lease.recognised_by = digest
        try:
            return await self._lock(lease, wanted)
        except BaseException as error:
            self._settling.restore(lease)
            if isinstance(error, SessionsUnavailable):
                return None
            raise

    def _fresh(self, wanted: Wanted, upstream: Upstream) -> Lease:
        history = "full" if upstream.dialect.gateway is None else "fold"
        key = upstream.dialect.session_key(wanted.app, fresh_name())
        return Lease(wanted.app, key, upstream, history=history, named=bool(wanted.name))

    def _own(self, wanted: Wanted, upstream: Upstream, key: str) -> Lease:
        lasting = upstream.dialect.gateway is not None  # else a run ends with its connection
        return Lease(wanted.app, key, upstream, history="last", lasting=lasting, named=True, own=True)

    def own_keys(self, wanted: Wanted, upstream: Upstream) -> list[str]:
        """Of the name's own session, under each secret, the newest first."""
        scope, app = wanted.caller.scope, wanted.app
        names = [named_session(key, scope, app, wanted.name) for key in self._keys.all]
        return [upstream.dialect.session_key(app, name) for name in names]

    async def _lock(self, lease: Lease, wanted: Wanted) -> Lease:
        """Waits for the run before it. Raises SessionBusy, and Overloaded if too many wait."""
        try:
            lease.release = await self._locks.acquire(lease.key, wait=0, on_lost=lease.lose)
        except SessionBusy:
            if not self._wait:
                raise
            with self._limiter.queued(wanted.caller, wanted.size):
                lease.release = await self._locks.acquire(lease.key, wait=self._wait, on_lost=lease.lose)
        return lease

    @contextlib.asynccontextmanager
    async def _given_back_on_failure(self, lease: Lease) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self._settling.in_background(lease.give_back())
            raise
