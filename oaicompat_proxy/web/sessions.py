"""Which session of the gateway a request runs in, and what becomes of it afterwards (decisions D8 and D9).

A request holds a lease on one session, and a slot for its run. A session that nobody named or recognises is closed
when the lease ends, which also stops a run that is still going on. A session that keeps its history is held until
its run is over: without its reader the run is read on in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from ..config import Config
from ..errors import ProxyError, SessionsUnavailable, UpstreamConnectTimeout, UpstreamUnreachable
from ..openai.request import Message
from ..recognition import AnswerDigest, answered_part, conversation_digest, named_session
from .aborting import abort
from .closing import Closing
from .confirming import confirm
from .leases import Lease, Wanted, fresh_name
from .run import Run
from .session_locks import SessionLocks
from .session_store import SessionStore
from .slots import Slots
from .upstream import Upstream

log = logging.getLogger(__name__)

CALL_TO_ANSWER = 1.0
"""Seconds for the gateway to answer a call whose client has left; it does so before the run begins."""

SWEEP = 60.0
"""Seconds between looks for sessions that are too old to be continued."""


UNREACHED = (UpstreamUnreachable, UpstreamConnectTimeout)
"""Failures after which there is no run."""


class Sessions:
    """Leases sessions, and settles them."""

    def __init__(
        self,
        upstream: Upstream,
        config: Config,
        secret: bytes,
        *,
        slots: Slots,
        closer: Closing,
        locks: SessionLocks,
        store: SessionStore | None,
    ) -> None:
        """`store`: where sessions are recognised; None if they are not."""
        self._upstream = upstream
        self._config = config
        self._secret = secret
        self._slots = slots
        self._closer = closer
        self._locks = locks
        self._store = store
        # moving
        self.settling: set[asyncio.Task[None]] = set()
        """What is done behind answers, a session each."""
        self.cancelled = 0
        """Runs that were stopped before their end."""
        self._leased = 0

    @property
    def busy(self) -> bool:
        """Whether a run goes on, or one that is over is being tidied up."""
        return bool(self._leased or self.settling)

    async def begin(self, wanted: Wanted) -> Lease:
        """A lease that has to be ended. Raises SessionBusy if the session's last run does not end in time, and what
        Slots.take raises.
        """
        self._leased += 1
        try:
            lease = await self._lease(wanted, self._upstream.speaking_for(wanted.caller))
        except BaseException:
            self._leased -= 1
            raise
        try:
            lease.slot = await self._slots.take(wanted.caller)
        except BaseException:
            self.end(lease)
            raise
        return lease

    def end(self, lease: Lease) -> None:
        """The request is answered, or has failed."""
        self._leased -= 1
        self._settle(lease)
        if not lease.lingers:
            lease.free()

    def new_digest(self, wanted: Wanted) -> AnswerDigest | None:
        """Follows the answer, if its conversation is to be recognised."""
        if self._store is None or wanted.name:
            return None
        return AnswerDigest(self._secret, wanted.caller.scope, wanted.model, wanted.messages)

    async def remember(self, lease: Lease, digest: AnswerDigest) -> None:
        """The conversation, with the answer that was given, continues in this session, once its run is over."""
        lease.recognised_by, lease.remembered_by = None, digest.hexdigest()
        with contextlib.suppress(SessionsUnavailable):
            if lease.release is None:
                await self._lock(lease)  # nobody else knows the session yet
            lease.keep = await self._put(lease.remembered_by, lease.key)

    def abandon(self, key: str, upstream: Upstream) -> None:
        """Stops a run that was begun by an earlier request, and that nobody reads any more."""
        self.cancelled += 1
        self._closer.close_soon(key, upstream)

    async def sweep(self) -> None:
        """Closes, for as long as the process lives, what nobody came back to."""
        while self._store is not None:
            await asyncio.sleep(SWEEP)
            with contextlib.suppress(SessionsUnavailable):
                for key in await self._store.expire():
                    self._closer.close_soon(key)

    async def settle(self) -> None:
        """At the end of the process: runs without a reader are left to themselves."""
        await self._stop_settling()
        for key in await self._store.leave() if self._store is not None else ():
            self._closer.close_soon(key)
        await self._closer.settle()

    async def retire(self) -> None:
        """The same where others go on with these sessions."""
        await self._stop_settling()
        await self._closer.settle()

    async def _stop_settling(self) -> None:
        await asyncio.sleep(0)  # a task that has not begun would not give back what it holds
        for task in list(self.settling):
            task.cancel()
        if self.settling:
            await asyncio.wait(self.settling)

    # opening

    async def _lease(self, wanted: Wanted, upstream: Upstream) -> Lease:
        app, dialect = wanted.app, upstream.dialect
        name = named_session(self._secret, wanted.caller.scope, app, wanted.name) if wanted.name else fresh_name()
        key = wanted.key or dialect.session_key(app, name)
        is_known = bool(wanted.name or wanted.key)
        if dialect.gateway is None:  # nobody else remembers, so nothing outlasts its run
            lease = Lease(app, key, upstream, history="full")
            return await self._lock(lease) if is_known else lease
        if is_known:
            return await self._lock(Lease(app, key, upstream, history="last", lasting=True))
        answered = answered_part(wanted.messages) if self._store is not None else ()
        recognised = await self._recognise(wanted, upstream, answered) if answered else None
        return recognised or Lease(app, key, upstream, history="fold")

    async def _recognise(self, wanted: Wanted, upstream: Upstream, answered: Sequence[Message]) -> Lease | None:
        """A lease on the session that gave the last of these answers, if there is one."""
        digest = conversation_digest(self._secret, wanted.caller.scope, wanted.model, answered)
        key = await self._take(digest)
        if key is None:
            return None
        lease = Lease(wanted.app, key, upstream, history="last")
        lease.recognised_by = digest
        try:
            return await self._lock(lease)
        except BaseException as error:
            self._in_background(self._put_back(lease, reached=False))
            if isinstance(error, SessionsUnavailable):
                return None
            raise

    async def _lock(self, lease: Lease) -> Lease:
        lease.release = await self._locks.acquire(lease.key, wait=self._config.session_wait)
        return lease

    # settling

    def _settle(self, lease: Lease) -> None:
        """Starts what has to be done; nobody waits for it."""
        run = lease.run
        if run is not None and run.whole and lease.release is None and lease.recognised_by is None:
            if not lease.keep:
                self._closer.close_soon(lease.key, lease.upstream)
        elif run is None or not run.reached or run.over or run.refused:
            self._in_background(self._put_back(lease, reached=run is not None and run.reached))
        elif lease.keep or lease.parked:
            lease.lingers = not lease.parked  # a run that waits for its client does nothing
            self._in_background(self._outlive(lease, run))
        elif not run.opened and lease.upstream.dialect.gateway is not None:
            self.cancelled += 1
            self._in_background(self._stop_unheard(lease, run))
        else:
            self.cancelled += 1
            run.cut()
            self._closer.close_soon(lease.key, lease.upstream)
            if lease.release is not None:
                self._in_background(lease.give_back())

    async def _stop_unheard(self, lease: Lease, run: Run) -> None:
        """The gateway has not answered the call yet: a close that overtakes it would close nothing."""
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TO_ANSWER):
                    await run.open()
        finally:
            run.cut()
            self._closer.close_soon(lease.key, lease.upstream)
            await lease.give_back()

    async def _put_back(self, lease: Lease, *, reached: bool) -> None:
        """No run is going on. A recognised session whose run failed is what it was before."""
        try:
            if lease.run is not None and lease.run.over:
                await lease.run.finish()
            if lease.recognised_by is not None and not lease.keep:
                lease.keep = await self._put(lease.recognised_by, lease.key)
                reached = True  # by the requests before
            if reached and not lease.keep:
                self._closer.close_soon(lease.key, lease.upstream)
        finally:
            await lease.give_back()

    async def _outlive(self, lease: Lease, run: Run) -> None:
        """The run goes on without its reader, and the session is held until it is over."""
        limit = self._config.confirmation_ttl if lease.parked else self._config.session_drain
        try:
            async with asyncio.timeout(limit):
                await self._end_run(lease, run)
            await run.finish()
        except UNREACHED:
            pass
        except (ProxyError, TimeoutError) as error:
            log.warning("session %s is closed: its run has no end: %s", lease.key, error or "timeout")
            lease.keep = False
            if lease.remembered_by is not None:
                await self._take(lease.remembered_by)
        finally:
            run.cut()
            lease.free()
            try:
                if not lease.keep:
                    await self._closer.close(lease.key, lease.upstream)
            finally:
                await lease.give_back()

    async def _end_run(self, lease: Lease, run: Run) -> None:
        """Returns when it is over: it is interrupted for a reader that has left, where the gateway can do that."""
        left = not (lease.answered or lease.parked)
        if left and await abort(lease.upstream, lease.key, run):
            self.cancelled += 1
            return
        if lease.denied_call is not None:
            await confirm(lease.upstream, lease.key, lease.denied_call, confirmed=False)
        await run.outlive()

    async def _take(self, digest: str) -> str | None:
        """The session of this conversation; a conversation that cannot be looked up has none."""
        assert self._store is not None
        try:
            return await self._store.take(digest)
        except SessionsUnavailable:
            log.warning("a conversation could not be looked up; it continues in a fresh session")
            return None

    async def _put(self, digest: str, key: str) -> bool:
        """Whether the session is kept under this digest."""
        assert self._store is not None
        try:
            unwanted = await self._store.put(digest, key)
        except SessionsUnavailable:
            log.warning("session %s could not be noted, so nobody can continue in it", key)
            return False
        for each in unwanted:
            if each != key:
                self._closer.close_soon(each)
        return key not in unwanted

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="settle session")
        self.settling.add(task)
        task.add_done_callback(self.settling.discard)
