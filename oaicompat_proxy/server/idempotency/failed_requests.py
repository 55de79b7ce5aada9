"""Answers requests that have no name: one that equals a request that just failed gets the same failure (D12)."""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from ...core.caller import Owner
from ...core.errors import ProxyError
from ..context import CONTEXT, Handler
from .recent_failures import RecentFailures
from .request_name import RequestName


class FailedRequests:
    """The recent failures of one process."""

    def __init__(self) -> None:
        # state
        self._failures = RecentFailures()

    def remove(self, owner: Owner) -> None:
        self._failures.remove(owner)

    async def answer(self, request: web.Request, handler: Handler, name: RequestName) -> web.StreamResponse:
        """Raises the recent failure of an equal request, if the agent may have acted in its run; else answers."""
        context = request[CONTEXT]
        scope = context.caller.scope
        if (failure := self._failures.get(scope, name.digest, time.monotonic())) is not None:
            raise failure
        remember = partial(self._remember, scope, name.digest)
        context.on_broken_off = remember
        if name.failed_streams:
            context.on_stream_failed = remember
        try:
            return await handler(request)
        except ProxyError as error:
            remember(error)
            raise

    def _remember(self, scope: str, digest: bytes, failure: ProxyError) -> None:
        if failure.should_retry is False:
            self._failures.add(scope, digest, failure, time.monotonic())
