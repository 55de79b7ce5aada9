"""Several workers: gunicorn starts them, starts anew what dies, and replaces all of them on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import math
import mmap
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from aiohttp import web
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from ...config.settings import Config
from ..app import create_app
from ..observability import multiprocess as shared_metrics
from ..upstream.catalog import Catalog
from ..upstream.gateway_client import Upstream
from .reload import reread
from .serve import ALL_WELL, ANSWERS_CUT, Fronted, introduce
from .sockets import address_of, open_sockets
from .systemd import notify, watchdog_patience
from .worker import Worker, longest_end

log = logging.getLogger(__name__)

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def supervise(config: Config, read: Callable[[], Config]) -> NoReturn:
    """Serves with `config.workers` processes until it is told to end, by SystemExit.

    `read`: gives the settings as they are at SIGHUP.
    Raises ListenError, and ConfigError as `create_app` does: before there is a worker that would fail with it.
    """
    with shared_metrics.sharing():
        _supervise(config, read)


def _supervise(config: Config, read: Callable[[], Config]) -> NoReturn:
    create_app(config)
    if not config.redis:
        log.warning(
            "without --redis each worker knows only its own sessions, and counts only its own requests of a key; "
            "let the balancer send a session to one worker"
        )
    with open_sockets(config) as sockets:
        Workers(config, sockets, read).run()


class Workers(BaseApplication):
    """What gunicorn has to know."""

    def __init__(self, config: Config, sockets: list[socket.socket], read: Callable[[], Config]) -> None:
        """`sockets`: belong to gunicorn from here on."""
        self._config = config
        self._read = read
        self._address = address_of(sockets, config.host)
        self._binds = [f"fd://{sock.detach()}" for sock in sockets]
        self.answers_cut = mmap.mmap(-1, 1)
        """One byte, shared with all workers: whether one of them has cut answers at its end."""
        super().__init__(prog="oaicompat-proxy")

    def load_config(self) -> None:
        settings = {
            "bind": self._binds,
            "workers": self._config.workers,
            "worker_class": Worker,
            "graceful_timeout": math.ceil(longest_end(self._config)),
            "loglevel": self._config.log_level,
            "logger_class": Lines,
            "errorlog": None,
            "proc_name": "oaicompat-proxy",
            "control_socket_disable": True,  # nothing listens that was not asked for
            "when_ready": self._introduce,
            "worker_exit": self._note_exit,
            "child_exit": lambda master, worker: shared_metrics.forget_worker(worker.pid),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        """At SIGHUP, before new workers are started. If the settings cannot be, those of before are still replaced."""
        if reread(self._config, self._read, self._take) is not None:
            super().reload()

    def _take(self, config: Config) -> Config:
        """Raises ConfigError: better here than in each worker."""
        create_app(config)
        self._config = config
        return config

    def load(self) -> web.Application:
        """In each worker."""
        return create_app(self._config)

    def run(self) -> NoReturn:
        Master(self).run()
        raise AssertionError("it ends by SystemExit")

    def _introduce(self, master: Any) -> None:
        """It listens; workers, which answer, come next."""
        asyncio.run(self._ask_and_introduce())

    async def _ask_and_introduce(self) -> None:
        upstreams = [(each, Upstream(each, each.upstream)) for each in self._config.gateways]
        gateways = [Fronted(each.prefix, upstream.address, _catalog(upstream, each)) for each, upstream in upstreams]
        await introduce(gateways, self._config, self._address)
        for _, upstream in upstreams:
            upstream.close()

    def _note_exit(self, master: Any, worker: Any) -> None:
        if worker.exit_code == ANSWERS_CUT:
            self.answers_cut[0] = 1


def _catalog(upstream: Upstream, config: Config) -> Catalog:
    return Catalog(upstream, config.model, ttl=config.models_ttl, for_callers=config.only_callers_credentials)


class Lines(Logger):
    """gunicorn's own lines look like all the others, and go where they go."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class Master(Arbiter):
    """Ends as a single process does: gently on the first signal, at once on the second, with the same statuses."""

    def __init__(self, app: Workers) -> None:
        super().__init__(app)
        self._ended_by: int | None = None
        self._ended_again_by: int | None = None

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Also while gunicorn waits for old workers and looks at no queue."""
        if sig not in ENDING:
            super().signal(sig, frame)
        elif os.getpid() != self.pid:
            os._exit(ALL_WELL)  # a worker so new that it has no handlers of its own yet, and no requests
        elif self._ended_by is None:
            self._ended_by = sig
            notify("STOPPING=1")
            self.app.answers_cut[0] = 0
            self.kill_workers(signal.SIGTERM)
            super().signal(signal.SIGTERM, frame)
        else:
            self._ended_again_by = sig
            self.kill_workers(signal.SIGQUIT)

    def murder_workers(self) -> None:
        """Once a second: gunicorn looks whether its workers live, and systemd whether this process does."""
        if watchdog_patience():
            notify("WATCHDOG=1")
        super().murder_workers()

    def handle_hup(self) -> None:
        if self._ended_by is None:  # one that waited in the queue while the end was asked for
            super().handle_hup()

    def halt(self, reason: str | None = None, exit_status: int = ALL_WELL) -> None:
        """Raises SystemExit."""
        try:
            super().halt(reason, exit_status)
        except SystemExit:
            if self._ended_again_by is not None:
                raise SystemExit(128 + self._ended_again_by) from None
            if exit_status == ALL_WELL and self.app.answers_cut[0]:
                raise SystemExit(ANSWERS_CUT) from None
            raise
