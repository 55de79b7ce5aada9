"""The interface behind the inspector's page: its runs, access to them, and how much of them is shown."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Protocol

from aiohttp import web

from ... import __version__
from ...config.settings import Config
from ...core.signing import Secrets
from ..context import server_of
from ..gateway import GATEWAYS
from .access import Access
from .collector import Collector
from .inspected_run import InspectedRun
from .overview import overview
from .run_details import Shown

Json = dict[str, Any]


class Runs(Protocol):
    """The runs that are shown, oldest first."""

    left_out: int

    def __iter__(self) -> Iterator[InspectedRun]: ...

    def find(self, run_id: str) -> InspectedRun | None: ...


class Inspector(Protocol):
    has_form: bool
    """Whether the page has a form for keys, because keys are required."""
    runs: Runs

    async def check(self, request: web.Request) -> str:
        """The visitor's name for the log. Raises ProxyError."""
        ...

    def log_in(self, request: web.Request, key: str) -> str:
        """The cookie for a key. Raises ProxyError."""
        ...

    def shown(self, request: web.Request) -> Shown:
        """How much of a run is shown to this visitor."""
        ...

    async def state(self, request: web.Request) -> Json:
        """The overall state that the page shows."""
        ...

    def stop(self, request: web.Request, run: InspectedRun, by: str) -> bool:
        """False if the run cannot be stopped any more."""
        ...

    def is_stopping(self, request: web.Request) -> bool:
        """Whether the process is shutting down."""
        ...


INSPECTOR: web.AppKey[Inspector] = web.AppKey("oaicompat_proxy.inspector")


class ServerInspector:
    """The inspector of a server with `--inspect`; it survives a reload."""

    has_form = True

    def __init__(self, config: Config, secrets: Secrets, collector: Collector) -> None:
        self.runs: Runs = collector
        self._collector = collector
        self._access = Access(config, secrets)

    async def check(self, request: web.Request) -> str:
        return await self._access.check(request)

    def log_in(self, request: web.Request, key: str) -> str:
        return self._access.issue_cookie(request, key)

    def shown(self, request: web.Request) -> Shown:
        server = server_of(request)
        return Shown(content=server.config.inspect_content, secrets=server.upstream_tokens)

    async def state(self, request: web.Request) -> Json:
        server = server_of(request)
        config = server.config
        return {
            "version": __version__,
            "source": "server",
            "content": config.inspect_content,
            "keys": server.authenticator.requires_keys,
            "worker": os.getpid(),
            "workers": config.workers,
            "now": round(time.time(), 3),
            "most_runs": config.inspect_runs,
            "most_bytes": config.inspect_bytes,
            "held_bytes": self._collector.held,
            "left_out": self._collector.left_out,
            "gateways": await overview(request.app[GATEWAYS]),
        }

    def stop(self, request: web.Request, run: InspectedRun, by: str) -> bool:
        return self._collector.stop(run, server_of(request).shutdown, by)

    def is_stopping(self, request: web.Request) -> bool:
        return server_of(request).shutdown.begun
