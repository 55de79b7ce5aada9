"""Access log of requests that are not runs; `run_log` logs the runs.

A line has no query string, header or body, which may hold keys and prompts. A path that is not served may hold a key,
if a client was given it for another part of its URL: only words of API paths are shown of it.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ..context import CONTEXT
from .client_api import PATHS

log = logging.getLogger("oaicompat_proxy.access")

MAX_FIELD = 500
"""Characters of a method or a path in a line, so that a client cannot fill the disk."""


HIDDEN = "*"
"""Stands for any other part of a path that is not served."""

_WORDS = frozenset(
    [
        *(word for path in PATHS for word in path.split("/")),
        *("v1", "v2", "api", "openai", "anthropic", "models", "conversations", "usage", "kept_data", "count_tokens"),
        *("healthz", "readyz", "metrics", "health", "inspect", "diagnostics", "favicon.ico", "robots.txt"),
        *("embeddings", "audio", "transcriptions", "speech", "images", "generations", "edits", "files", "uploads"),
        *("batches", "moderations", "fine_tuning", "jobs", "assistants", "threads", "runs", "vector_stores"),
        *("realtime", "engines", "complete", "generate", "tags", "version", "show"),
        "-",  # of a malformed request
    ]
)
"""Parts of paths that this server, OpenAI, Anthropic or Ollama serve; clients call them by mistake."""


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
            _shown_path(request, is_routed=hasattr(context, "server")),
            response.status,
            response.body_length,
            time,
        )


def _shown_path(request: web.BaseRequest, *, is_routed: bool) -> str:
    """`is_routed`: the request has reached the middleware; before it, the path is not looked up."""
    path = request.rel_url.raw_path[:MAX_FIELD]
    if is_routed and isinstance(request, web.Request) and request.match_info.http_exception is None:
        return path
    return "/".join(part if part in _WORDS else HIDDEN for part in path.split("/"))
