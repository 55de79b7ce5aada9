"""One line for each request that is no run, since runs have their own in `run_log`: which it was and how it went.

No query string, no header and no body: they hold keys and prompts.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ..context import CONTEXT

log = logging.getLogger("oaicompat_proxy.access")

LONGEST_WORD = 500
"""Characters of a method or a path that a line holds: whoever sends a long one does not fill the disk with it."""


class AccessLog(AbstractAccessLogger):
    """`REQUEST-ID CLIENT KEY METHOD PATH STATUS BYTES SECONDS`; KEY is its name, or `-`."""

    @property
    def enabled(self) -> bool:
        return log.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        context = request.get(CONTEXT)
        if context is not None and context.is_run:
            return
        caller = getattr(context, "caller", None)
        log.info(
            "%s %s %s %s %s %d %d %.3f",
            context.request_id if context else "-",
            (context and context.client) or request.remote,
            (caller and caller.name) or "-",
            request.method[:LONGEST_WORD],
            request.rel_url.raw_path[:LONGEST_WORD],
            response.status,
            response.body_length,
            time,
        )
