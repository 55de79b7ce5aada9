"""A worker of gunicorn's that serves as the process alone does: same connections, same limits, same end.

`gunicorn 'oaicompat_proxy.server.app:factory()' --worker-class oaicompat_proxy.server.process.worker.Worker`

SIGTERM lets answers finish, however often it comes: gunicorn repeats it. SIGQUIT ends at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType
from typing import Any

from aiohttp.worker import GunicornUVLoopWebWorker
from gunicorn.arbiter import Arbiter

from ...config.settings import Config
from ..context import CONFIG
from ..http.shutdown import LAST_WORDS, STOPPING
from .runner import Runner
from .serve import ALL_WELL, ANSWERS_CUT, calm_collector
from .sockets import ListenError, allow_files, check_reach

BEAT = 1.0
"""Seconds between signs of life for gunicorn, which kills a worker that gives none for its `timeout`."""


def longest_end(config: Config) -> float:
    """Seconds that a worker may need to end; gunicorn kills what takes longer than its `graceful_timeout`."""
    return config.drain_delay + config.drain_timeout + LAST_WORDS + 4 * config.close_timeout + 1


class Worker(GunicornUVLoopWebWorker):
    """Its application is one of `create_app`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._ending = asyncio.Event()

    @staticmethod
    def check_config(cfg: Any, log: Any) -> None:
        """gunicorn asks before it starts. Raises RuntimeError."""
        if cfg.is_ssl:
            raise RuntimeError("this worker speaks no TLS: that is for nginx in front of it")

    async def _run(self) -> None:
        self._hear_signals()
        app = self.wsgi
        config = app[CONFIG]
        sockets = [each.sock for each in self.sockets]  # gunicorn wraps them
        try:
            check_reach(sockets, config)
        except ListenError as error:
            self.log.error("%s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        allow_files(config.max_connections)
        if self.cfg.graceful_timeout < longest_end(config):
            self.log.warning(
                "gunicorn kills workers that need more than %g s to end: set --graceful-timeout %g",
                *(self.cfg.graceful_timeout, longest_end(config)),
            )
        runner = Runner(app, config)
        beating = asyncio.create_task(self._beat(runner))
        try:
            async with runner.serving(sockets):
                self.booted = True
                calm_collector()
                await self._ending.wait()
        finally:
            beating.cancel()
        self.exit_code = ANSWERS_CUT if app[STOPPING].cut else ALL_WELL
        for signum in (signal.SIGTERM, signal.SIGINT):  # one more may come, and must not become the reason of the end
            self.loop.remove_signal_handler(signum)
            signal.signal(signum, signal.SIG_IGN)

    async def _beat(self, runner: Runner) -> None:
        """Until the very end, since draining may take longer than gunicorn's patience."""
        while True:
            self.notify()
            served = runner.server.requests_count if runner.server is not None else 0
            if served > self.max_requests or self.ppid != os.getppid():
                self._ending.set()
            await asyncio.sleep(BEAT)

    def init_signals(self) -> None:
        """For the time before the event loop runs: it would lose what comes until then."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.handle_exit)
        signal.signal(signal.SIGQUIT, self.handle_quit)

    def _hear_signals(self) -> None:
        super().init_signals()
        # a terminal's Ctrl-C reaches workers too: what it means is said by the master
        self.loop.add_signal_handler(signal.SIGINT, self.handle_exit, signal.SIGINT, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._ending.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        os._exit(128 + sig)
