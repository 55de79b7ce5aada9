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
from ..upstream.run_state import RunState
from ..upstream.session_closer import Closing
from .after_request import AFTER_REQUEST, CANCELLED, KEEPS_PERMIT, Action
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

    def restore(self, lease: Lease) -> None:
        """The session was leased, and not used."""
        self.in_background(self._restore(lease))

    def finalize(self, lease: Lease) -> None:
        """Starts what the table says, in the background."""
        action = AFTER_REQUEST[lease.kind, lease.run_state]
        if action in CANCELLED:
            self.cancelled += 1
        if action not in KEEPS_PERMIT:
            lease.release_permit()
        match action:
            case Action.RELEASE:
                self.in_background(self._release(lease))
            case Action.RESTORE:
                self.in_background(self._restore(lease))
            case Action.CLOSE:
                self._close(lease)
            case Action.CANCEL:
                self._cancel(lease)
            case Action.CANCEL_ONCE_ANSWERED:
                self.in_background(self._cancel_once_answered(lease))
            case Action.ABORT:
                self.in_background(self._abort(lease))
            case Action.DRAIN:
                self.in_background(self._drain(lease, within=self._config.session_drain))
            case Action.AWAIT_CLIENT:
                self.in_background(self._drain(lease, within=self._config.confirmation_ttl))

    def _close(self, lease: Lease) -> None:
        if lease.release is None and lease.run is not None and lease.run.fully_read:
            self._closer.close_soon(lease.key, lease.upstream)  # the usual case, without a task
        else:
            self.in_background(self._finish_and_close(lease))

    async def _finish_and_close(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
            self._closer.close_soon(lease.key, lease.upstream)
        finally:
            await lease.give_back()

    async def _release(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
        finally:
            await lease.give_back()

    async def _restore(self, lease: Lease) -> None:
        try:
            await self._finish_run(lease)
            if lease.recognised_by is not None:
                lease.keep = await self.keep(lease, lease.recognised_by)
                if not lease.keep:
                    self._closer.close_soon(lease.key, lease.upstream)
            if lease.run_state in (RunState.NOT_SENT, RunState.REJECTED):
                await self._known.unuse(lease)
        finally:
            await lease.give_back()

    async def _finish_run(self, lease: Lease) -> None:
        if lease.run_state in (RunState.FINISHED, RunState.SUCCEEDED):
            await lease.started_run.finish()

    def _cancel(self, lease: Lease) -> None:
        lease.started_run.cut()
        self._closer.close_soon(lease.key, lease.upstream)
        if lease.release is not None:
            self.in_background(lease.give_back())

    async def _cancel_once_answered(self, lease: Lease) -> None:
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TO_ANSWER):
                    await lease.started_run.open()
        finally:
            lease.started_run.cut()
            self._closer.close_soon(lease.key, lease.upstream)
            await lease.give_back()

    async def _abort(self, lease: Lease) -> None:
        """An aborted turn leaves the session's memory, so the session is what it was before the request."""
        run = lease.started_run
        try:
            with contextlib.suppress(ProxyError, TimeoutError):
                async with asyncio.timeout(CALL_TO_ANSWER + ABORT_OR_CLOSE):
                    outcome = await abort(lease.upstream, lease.key, run, within=ABORT_OR_CLOSE)
                if outcome is Outcome.ABORTED and lease.recognised_by is not None:
                    await run.finish()
                    lease.keep = await self.keep(lease, lease.recognised_by)
        finally:
            run.cut()
            lease.release_permit()
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

    async def _drain(self, lease: Lease, *, within: float) -> None:
        """`within`: seconds after which a run that has not finished is stopped."""
        run = lease.started_run
        try:
            async with asyncio.timeout(within):
                await self._read_to_end(lease, run)
            await run.finish()
        except UNREACHED:
            await self._known.unuse(lease)
        except (ProxyError, TimeoutError) as error:
            what = "left" if lease.native else "closed"
            log.warning("session %s is %s: its run did not finish: %s", lease.key, what, error or "timeout")
            lease.keep = lease.native
            await self._known.forget(lease)
        finally:
            run.cut()
            lease.release_permit()
            try:
                if not lease.keep:
                    await self._closer.close(lease.key, lease.upstream)
            finally:
                await lease.give_back()

    async def _read_to_end(self, lease: Lease, run: Run) -> None:
        """Returns when the run is finished or aborted."""
        if not (lease.answered or lease.parked):
            outcome = await abort(lease.upstream, lease.key, run)
            if outcome is not Outcome.GOES_ON:
                self.cancelled += 1
                if outcome is Outcome.ABORTED and lease.recognised_by is not None:
                    await self.keep(lease, lease.recognised_by)
                return
        if lease.denied_call is not None:
            await confirm(lease.upstream, lease.key, lease.denied_call, confirmed=False)
        await run.drain()

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
