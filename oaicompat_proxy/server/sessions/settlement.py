"""What becomes of a session when its request is over (decision D9): it is closed, kept, or held until its run ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from ...config.settings import Config
from ...core.errors import ProxyError, UpstreamConnectTimeout, UpstreamUnreachable
from ..upstream.abort import Outcome, abort
from ..upstream.approvals import confirm
from ..upstream.gateway_client import Upstream
from ..upstream.run import Run
from ..upstream.session_closer import Closing
from .continuations import Continuations
from .lease import Lease
from .locks import Release

log = logging.getLogger(__name__)

CALL_TO_ANSWER = 1.0
"""Seconds for the gateway to answer a call whose client has left; it does so before the run begins."""

ABORT_OR_CLOSE = 0.5
"""Seconds for an aborted run to end, where a close stops it otherwise."""

UNREACHED = (UpstreamUnreachable, UpstreamConnectTimeout)
"""Failures after which there is no run."""


class Settling:
    """Settles leases behind the answers: nobody waits for it."""

    def __init__(self, config: Config, known: Continuations, closer: Closing) -> None:
        self._config = config
        self._known = known
        self._closer = closer
        # moving
        self.tasks: set[asyncio.Task[None]] = set()
        """What is done behind answers, a session each."""
        self.cancelled = 0
        """Runs that were stopped before their end."""

    async def stop(self) -> None:
        """At the end of the process: runs without a reader are left to themselves."""
        await asyncio.sleep(0)  # a task that has not begun would not give back what it holds
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def put_back(self, lease: Lease) -> None:
        """It was not used: it is found again where it was."""
        self.in_background(self._put_back(lease, reached=False))

    def settle(self, lease: Lease) -> None:
        """Starts what has to be done; nobody waits for it."""
        run = lease.run
        if run is not None and run.whole and lease.release is None and lease.recognised_by is None:
            if not lease.keep:
                self._closer.close_soon(lease.key, lease.upstream)
        elif run is None or not run.reached or run.over or run.refused:
            self.in_background(self._put_back(lease, reached=run is not None and run.reached))
        elif lease.keep or lease.parked:
            lease.lingers = not lease.parked  # a run that waits for its client does nothing
            self.in_background(self._outlive(lease, run))
        elif not run.opened and lease.upstream.dialect.gateway is not None:
            self.cancelled += 1
            self.in_background(self._stop_unheard(lease, run))
        elif lease.recognised_by is not None and lease.upstream.dialect.gateway is not None:
            self.cancelled += 1
            lease.lingers = True
            self.in_background(self._interrupt(lease, run))
        else:
            self.cancelled += 1
            run.cut()
            self._closer.close_soon(lease.key, lease.upstream)
            if lease.release is not None:
                self.in_background(lease.give_back())

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

    async def _interrupt(self, lease: Lease, run: Run) -> None:
        """An aborted turn leaves the session's memory, so it is found again where it was; else it is closed."""
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TO_ANSWER + ABORT_OR_CLOSE):
                    outcome = await abort(lease.upstream, lease.key, run, within=ABORT_OR_CLOSE)
                aborted = outcome is Outcome.ABORTED
                if aborted and lease.recognised_by is not None:
                    await run.finish()
                    lease.keep = await self.keep(lease, lease.recognised_by)
        finally:
            run.cut()
            lease.free()
            if not lease.keep:
                self._closer.close_soon(lease.key, lease.upstream)
            await lease.give_back()

    def close_forgotten(self, lease: Lease) -> None:
        """The gateway has nothing of it but the run that was just begun."""
        self.in_background(self._close_forgotten(lease.key, lease.upstream, lease.release))

    async def _close_forgotten(self, key: str, upstream: Upstream, release: Release | None) -> None:
        """Nobody else comes to the session before it is closed: they would be closed with it."""
        try:
            await self._closer.close(key, upstream)
        finally:
            if release is not None:
                await release()

    async def _put_back(self, lease: Lease, *, reached: bool) -> None:
        """No run is going on. A recognised session whose run failed is what it was before."""
        try:
            if lease.run is not None and lease.run.over:
                await lease.run.finish()
            if lease.recognised_by is not None:
                if not lease.completed:
                    lease.keep = await self.keep(lease, lease.recognised_by)
                reached = True  # by the requests before
            if lease.run is None or not lease.run.reached or lease.run.refused:
                await self._known.unuse(lease)
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
            await self._known.unuse(lease)
        except (ProxyError, TimeoutError) as error:
            what = "left" if lease.native else "closed"
            log.warning("session %s is %s: its run has no end: %s", lease.key, what, error or "timeout")
            lease.keep = lease.native
            await self._known.forget(lease)
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
        if not (lease.answered or lease.parked):
            outcome = await abort(lease.upstream, lease.key, run)
            if outcome is not Outcome.GOES_ON:
                self.cancelled += 1
                if outcome is Outcome.ABORTED and lease.recognised_by is not None:
                    await self.keep(lease, lease.recognised_by)
                return
        if lease.denied_call is not None:
            await confirm(lease.upstream, lease.key, lease.denied_call, confirmed=False)
        await run.outlive()

    async def keep(self, lease: Lease, digest: str) -> bool:
        """Whether the session is kept under this digest. A name's own one always is."""
        unwanted = await self._known.put(lease, digest)
        for each in unwanted:
            if each != lease.key:
                self._closer.close_soon(each)
        if lease.key in unwanted:
            return False
        if not lease.own:  # which is never closed
            self._closer.remember(lease.key, lease.upstream)
        return True

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="settle session")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
