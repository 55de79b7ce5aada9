"""Access log of requests that are not runs; `run_log` logs the runs.

A line has no query string, header or body, which may hold keys and prompts.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ..context import CONTEXT

log = logging.getLogger("oaicompat_proxy.access")

MAX_FIELD = 500
"""Characters of a method or a path in a line, so that a client cannot fill the disk."""


class AccessLog(AbstractAccessLogger):
    """Logs `REQUEST-ID CLIENT KEY METHOD PATH STATUS BYTES SECONDS`; KEY is the key's name, or `-`."""

    @property
    def enabled(self) -> bool:
        return log.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        try:
            context = request[CONTEXT]
        except KeyError:  # aiohttp answered before our middleware
            context = None
        if context is not None and context.is_run:
            return
        caller = getattr(context, "caller", None)
        log.info(
            "%s %s %s %s %s %d %d %.3f",
            context.request_id if context else "-",
            (context and context.client) or request.remote,
            (caller and caller.name) or "-",
            request.method[:MAX_FIELD],
            request.rel_url.raw_path[:MAX_FIELD],
            response.status,
            response.body_length,
            time,
        )
