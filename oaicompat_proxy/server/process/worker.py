"""A gunicorn worker that serves like a single process: same connections, same limits, same graceful shutdown.

`gunicorn 'oaicompat_proxy.server.app:factory()' --worker-class oaicompat_proxy.server.process.worker.Worker`

SIGTERM starts a graceful shutdown, also when gunicorn repeats it. SIGQUIT exits immediately.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from types import FrameType
from typing import Any

from aiohttp.worker import GunicornUVLoopWebWorker
from gunicorn.arbiter import Arbiter

from ...config.settings import Config
from ..context import SERVER
from ..shutdown import ERROR_TIMEOUT
from .garbage import collecting, end_without_collections
from .runner import Runner
from .serve import EXIT_INTERRUPTED, EXIT_OK
from .sockets import ListenError, check_exposure

HEARTBEAT = 1.0
"""Seconds between heartbeats for gunicorn, which kills a worker that sends none for its `timeout`."""


def longest_shutdown(config: Config) -> float:
    """Seconds that a graceful shutdown may take; gunicorn kills workers after its `graceful_timeout`."""
    return config.drain_delay + config.drain_timeout + ERROR_TIMEOUT + 4 * config.close_timeout + 1


class Worker(GunicornUVLoopWebWorker):
    """Serves an application of `create_app`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._stop = asyncio.Event()

    @staticmethod
    def check_config(cfg: Any, log: Any) -> None:
        """gunicorn calls it before it starts workers. Raises RuntimeError."""
        if cfg.is_ssl:
            raise RuntimeError("this worker does not support TLS: terminate TLS in nginx")

    def run(self) -> None:
        """Replaces aiohttp's `run`, whose connections lack the limits of `Connection`. Raises SystemExit."""
        end_without_collections()
        self.booted = False  # so that gunicorn recognises a failure to start
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        sys.exit(self.exit_code)

    async def _serve(self) -> None:
        self._handle_signals()
        app = self.wsgi
        config = app[SERVER].config
        sockets = [each.sock for each in self.sockets]  # gunicorn wraps them
        try:
            check_exposure(sockets, config)
        except ListenError as error:
            self.log.error("%s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        if self.cfg.graceful_timeout < longest_shutdown(config):
            self.log.warning(
                "gunicorn kills workers after %g s of graceful shutdown: set --graceful-timeout %g",
                *(self.cfg.graceful_timeout, longest_shutdown(config)),
            )
        runner = Runner(app, config)
        heartbeat = asyncio.create_task(self._heartbeat(runner))
        try:
            async with runner.serving(sockets):
                self.booted = True
                with collecting():
                    await self._stop.wait()
        finally:
            heartbeat.cancel()
        self.exit_code = EXIT_INTERRUPTED if app[SERVER].shutdown.interrupted else EXIT_OK
        for signum in (signal.SIGTERM, signal.SIGINT):  # a repeated signal must not change the exit status
            self.loop.remove_signal_handler(signum)
            signal.signal(signum, signal.SIG_IGN)

    async def _heartbeat(self, runner: Runner) -> None:
        """Notifies gunicorn, also while draining, which may take longer than its `timeout`."""
        while True:
            self.notify()
            if runner.requests_count > self.max_requests or self.ppid != os.getppid():
                self._stop.set()
            await asyncio.sleep(HEARTBEAT)

    def init_signals(self) -> None:
        """Sets signal handlers for the time before the event loop runs."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.handle_exit)
        signal.signal(signal.SIGQUIT, self.handle_quit)

    def _handle_signals(self) -> None:
        super().init_signals()
        # Ctrl-C in a terminal reaches workers too; the arbiter decides what it means
        self.loop.add_signal_handler(signal.SIGINT, self.handle_exit, signal.SIGINT, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._stop.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        os._exit(128 + sig)
