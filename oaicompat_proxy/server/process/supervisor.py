"""Several worker processes: gunicorn starts them, restarts those that die, and replaces all of them on SIGHUP."""

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
from .garbage import end_without_collections
from .reload import reload
from .serve import EXIT_INTERRUPTED, EXIT_OK, GatewayInfo, print_banner
from .sockets import address_of, open_sockets
from .systemd import notify, watchdog_timeout
from .worker import Worker, longest_shutdown

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def supervise(config: Config, read: Callable[[], Config]) -> NoReturn:
    """Serves with `config.workers` processes until a signal stops it; ends by SystemExit.

    `read`: reads the settings again at SIGHUP.
    Raises ListenError, and before any worker starts the ConfigError of `create_app`.
    """
    end_without_collections()
    with shared_metrics.sharing():
        _supervise(config, read)


def _supervise(config: Config, read: Callable[[], Config]) -> NoReturn:
    create_app(config)
    if not config.redis:
        log.warning(
            "without --redis each worker has its own sessions and rate limits; make the load balancer send each "
            "session to the same worker"
        )
        if not config.response_db and any(each.responses == "stored" for each in config.gateways):
            log.warning(
                "responses are stored in memory, which ends with this process: several workers need --redis or "
                "--response-db to keep them, and --redis to follow or cancel a response at any worker"
            )
    with open_sockets(config) as sockets:
        GunicornApp(config, sockets, read).run()


class GunicornApp(BaseApplication):
    """gunicorn's settings and application."""

    def __init__(self, config: Config, sockets: list[socket.socket], read: Callable[[], Config]) -> None:
        """`sockets`: gunicorn owns them from now on."""
        self._config = config
        self._read = read
        self._address = address_of(sockets, config.host)
        self._binds = [f"fd://{sock.detach()}" for sock in sockets]
        self.interrupted = mmap.mmap(-1, 1)
        """One byte, shared with all workers: 1 if one of them interrupted responses when it exited."""
        super().__init__(prog="oaicompat-proxy")

    def load_config(self) -> None:
        settings = {
            "bind": self._binds,
            "workers": self._config.workers,
            "worker_class": Worker,
            "graceful_timeout": math.ceil(longest_shutdown(self._config)),
            "loglevel": self._config.log_level,
            "logger_class": PropagatingLogger,
            "errorlog": None,
            "proc_name": "oaicompat-proxy",
            "control_socket_disable": True,  # no listening socket beside the configured ones
            "when_ready": self._print_banner,
            "worker_exit": self._on_worker_exit,
            "child_exit": lambda arbiter, worker: shared_metrics.forget_worker(worker.pid),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        """At SIGHUP, before new workers start. With a faulty configuration the workers are kept."""
        if reload(self._config, self._read, self._use) is not None:
            super().reload()

    def _use(self, config: Config) -> Config:
        """Sets the configuration of the next workers. Raises ConfigError here rather than in each worker."""
        create_app(config)
        self._config = config
        return config

    def load(self) -> web.Application:
        """The application. gunicorn calls it in each worker."""
        return create_app(self._config)

    def run(self) -> NoReturn:
        GracefulArbiter(self).run()
        raise AssertionError("the arbiter ends by SystemExit")

    def _print_banner(self, arbiter: Any) -> None:
        """gunicorn calls it when the sockets listen, before the first worker starts."""
        asyncio.run(self._ask_and_print())

    async def _ask_and_print(self) -> None:
        upstreams = [(each, Upstream(each, each.upstream)) for each in self._config.gateways]
        gateways = [
            GatewayInfo(each.prefix, upstream.address, Catalog.for_gateway(upstream, each))
            for each, upstream in upstreams
        ]
        await print_banner(gateways, self._config, self._address)
        for _, upstream in upstreams:
            upstream.close()

    def _on_worker_exit(self, arbiter: Any, worker: Any) -> None:
        if worker.exit_code == EXIT_INTERRUPTED:
            self.interrupted[0] = 1


class PropagatingLogger(Logger):
    """Hands gunicorn's log records to the root logger, so that all lines have our format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class GracefulArbiter(Arbiter):
    """Stops as a single process does: gracefully at the first signal, immediately at the second, same exit status."""

    def __init__(self, app: GunicornApp) -> None:
        super().__init__(app)
        self._stopped_by: int | None = None
        self._killed_by: int | None = None
        self._is_reloading = False

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Signals take effect also while gunicorn waits for old workers and does not read its queue."""
        if sig not in STOP_SIGNALS:
            super().signal(sig, frame)
        elif os.getpid() != self.pid:
            os._exit(EXIT_OK)  # a worker that has just been forked: no handlers of its own and no requests yet
        elif self._stopped_by is None:
            self._stopped_by = sig
            notify("STOPPING=1")
            self.app.interrupted[0] = 0
            self.kill_workers(signal.SIGTERM)
            super().signal(signal.SIGTERM, frame)
        else:
            self._killed_by = sig
            self.kill_workers(signal.SIGQUIT)

    def murder_workers(self) -> None:
        """gunicorn calls it every second to check its workers, so it also notifies the watchdog of systemd."""
        _feed_watchdog()
        super().murder_workers()

    def reap_workers(self) -> None:
        """gunicorn calls it again and again while a reload waits for old workers, and does nothing else meanwhile.

        A shutdown ends that wait: until then the address would accept connections that nobody answers.
        """
        super().reap_workers()
        if self._is_reloading:
            _feed_watchdog()
            if self._stopped_by is not None:
                raise StopIteration  # as gunicorn itself ends at SIGTERM

    def handle_hup(self) -> None:
        if self._stopped_by is None:  # a reload that was queued before the shutdown would start workers again
            super().handle_hup()

    def reload(self) -> None:
        self._is_reloading = True
        try:
            super().reload()
        finally:
            self._is_reloading = False

    def halt(self, reason: str | None = None, exit_status: int = EXIT_OK) -> None:
        """Raises SystemExit."""
        try:
            super().halt(reason, exit_status)
        except SystemExit:
            if self._killed_by is not None:
                raise SystemExit(128 + self._killed_by) from None
            if exit_status == EXIT_OK and self.app.interrupted[0]:
                raise SystemExit(EXIT_INTERRUPTED) from None
            raise


def _feed_watchdog() -> None:
    if watchdog_timeout():
        notify("WATCHDOG=1")
