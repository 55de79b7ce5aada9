"""Applies the table `after_request` to a session and its run, in the background after the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from ...config.settings import Config
from ...core.errors import ProxyError, UpstreamConnectTimeout, UpstreamUnreachable
from ..upstream.approvals import confirm
from ..upstream.gateway_client import Upstream
from ..upstream.interruption import Interruption, interrupt_run, send_abort
from ..upstream.run import Run
from ..upstream.session_closer import SessionCloser
from .after_request import AFTER_REQUEST, CANCELLED, KEEPS_PERMIT
from .continued_lease import ContinuedLease
from .conversations import Conversations
from .lease import Lease
from .locks import ReleaseLock

log = logging.getLogger(__name__)

CALL_TIMEOUT = 1.0
"""Seconds for the gateway to answer the call of a client that has disconnected; it answers before the run begins."""

ABORT_TIMEOUT = 0.5
"""Seconds for an aborted run to end; after them a close stops it."""

UNREACHED = (UpstreamUnreachable, UpstreamConnectTimeout)
"""Failures that mean that no run has begun."""


class Finalizer:
    def __init__(self, config: Config, conversations: Conversations, closer: SessionCloser) -> None:
        self._config = config
        self._conversations = conversations
        self._closer = closer
        # state
        self.tasks: set[asyncio.Task[None]] = set()
        """One for each session that is being finalized."""
        self.cancelled = 0
        """Runs that were stopped before their end."""

    async def shutdown(self) -> None:
        """Stops draining runs, and releases their locks."""
        await asyncio.sleep(0)  # lets each task begin: cancelled before, it would not release its lock
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def restore(self, lease: Lease) -> None:
        """Restores a leased session whose run never started."""
        self.in_background(self._restore(lease))

    def finalize(self, lease: Lease) -> None:
        """Starts the table's action for the lease, in the background."""
        action = AFTER_REQUEST[lease.kind, lease.run_state]
        if action in CANCELLED:
            self.cancelled += 1
        if action not in KEEPS_PERMIT:
            lease.release_permit()
        match action:
            case "release":
                self.in_background(self._release(lease))
            case "restore":
                self.in_background(self._restore(lease))
            case "close":
                self._close(lease)
            case "cancel":
                self._cancel(lease)
            case "cancel_once_answered":
                self.in_background(self._cancel_once_answered(lease))
            case "abort":
                self.in_background(self._abort(lease))
            case "drain":
                self.in_background(self._drain(lease, within=self._config.session_drain))
            case "await_client":
                self.in_background(self._drain(lease, within=self._config.confirmation_ttl))

    def finalize_continued(self, lease: ContinuedLease) -> None:
        """Stops a run that still goes on: with an abort in a persistent session, otherwise by closing the session.

        The request that began the run holds the session until the run ends.
        """
        if not lease.awaits_client:
            if lease.orphaned:
                self.cancelled += 1
                self._closer.close_soon(lease.key, lease.upstream)
            elif lease.abandoned:
                self.in_background(send_abort(lease.upstream, lease.key))
        session = lease.session
        if session is not None and not (lease.orphaned or session.persistent or session.primary):
            self._closer.close_soon(session.key, session.upstream)  # claimed, and not stored again

    def _close(self, lease: Lease) -> None:
        if not lease.locked and lease.run is not None and lease.run.fully_read:
            self._closer.close_soon(lease.key, lease.upstream)  # without a task, which takes 3 µs
        else:
            self.in_background(self._finish_and_close(lease))

    async def _finish_and_close(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
            self._closer.close_soon(lease.key, lease.upstream)
        finally:
            await lease.release_lock()

    async def _release(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
        finally:
            await lease.release_lock()

    async def _restore(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
            if lease.matched_fingerprint is not None:
                lease.persistent = await self.store(lease, lease.matched_fingerprint)
                if not lease.persistent:
                    self._closer.close_soon(lease.key, lease.upstream)
            if lease.run_state in ("not_sent", "rejected"):
                await self._conversations.unmark_used(lease)
        finally:
            await lease.release_lock()

    async def _finish_run(self, lease: Lease) -> None:
        if lease.run_state in ("finished", "succeeded"):
            await lease.started_run.finish()

    def _cancel(self, lease: Lease) -> None:
        lease.started_run.abort()
        self._closer.close_soon(lease.key, lease.upstream)
        if lease.locked:
            self.in_background(lease.release_lock())

    async def _cancel_once_answered(self, lease: Lease) -> None:
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TIMEOUT):
                    await lease.started_run.open()
        finally:
            lease.started_run.abort()
            self._closer.close_soon(lease.key, lease.upstream)
            await lease.release_lock()

    async def _abort(self, lease: Lease) -> None:
        """Aborts the run. The gateway removes an aborted turn from its history, so the session is restored."""
        run = lease.started_run
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TIMEOUT + ABORT_TIMEOUT):
                    outcome = await interrupt_run(lease.upstream, lease.key, run, within=ABORT_TIMEOUT)
                if outcome is Interruption.ABORTED and lease.matched_fingerprint is not None:
                    await run.finish()
                    lease.persistent = await self.store(lease, lease.matched_fingerprint)
        finally:
            run.abort()
            lease.release_permit()
            if not lease.persistent:
                self._closer.close_soon(lease.key, lease.upstream)
            await lease.release_lock()

    def close_replaced(self, lease: Lease) -> None:
        """Closes the lease's session before another one takes its place."""
        self.in_background(self._close_locked(lease.key, lease.upstream, lease.detach_lock()))

    async def _close_locked(self, key: str, upstream: Upstream, release: ReleaseLock | None) -> None:
        """Closes the session, then releases the lock: a later close would stop the next run."""
        try:
            await self._closer.close(key, upstream)
        finally:
            if release is not None:
                await release()

    async def _drain(self, lease: Lease, *, within: float) -> None:
        """Reads the run to its end. `within`: seconds after which an unfinished run is stopped."""
        run = lease.started_run
        try:
            async with asyncio.timeout(within):
                await self._read_to_end(lease, run)
            await run.finish()
        except UNREACHED:
            await self._conversations.unmark_used(lease)
        except (ProxyError, TimeoutError) as error:
            done = "left open" if lease.native else "closed"
            log.warning("session %s %s: its run did not finish: %s", lease.key, done, error or "timeout")
            lease.persistent = lease.native
            await self._conversations.forget(lease)
        finally:
            run.abort()
            lease.release_permit()
            try:
                if not lease.persistent:
                    await self._closer.close(lease.key, lease.upstream)
            finally:
                await lease.release_lock()

    async def _read_to_end(self, lease: Lease, run: Run) -> None:
        """Reads the run until it is finished or aborted."""
        if not (lease.delivered or lease.awaits_client):
            outcome = await interrupt_run(lease.upstream, lease.key, run)
            if outcome is not Interruption.CONTINUES:
                self.cancelled += 1
                if outcome is Interruption.ABORTED and lease.matched_fingerprint is not None:
                    await self.store(lease, lease.matched_fingerprint)
                return
        if lease.pending_denial is not None:
            await confirm(lease.upstream, lease.key, lease.pending_denial, confirmed=False)
        await run.drain()

    async def store(self, lease: Lease, fingerprint: str) -> bool:
        """Stores the session under the fingerprint. Returns whether it is kept; a primary session always is."""
        unwanted = await self._conversations.store(lease, fingerprint)
        for each in unwanted:
            if each != lease.key:
                self._closer.close_soon(each)
        if lease.key in unwanted:
            return False
        if not lease.primary:  # a primary session is never closed
            self._closer.remember(lease.key, lease.upstream)
        return True

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="finalize session")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
