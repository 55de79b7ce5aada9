"""sd_notify(3) and sd_watchdog_enabled(3): readiness, shutdown and watchdog messages to systemd.

Without systemd's environment variables nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator

log = logging.getLogger(__name__)

NOTIFICATIONS_PER_TIMEOUT = 3
"""Watchdog notifications within the timeout of systemd: one may be late."""


def notify(state: str) -> None:
    """`state`: an assignment such as READY=1. Errors are logged, since the service works without systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # a socket in the abstract namespace
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(state.encode(), address)
    except OSError as error:
        log.warning("sd_notify(%s) failed: %s", state, error.strerror or error)


@contextlib.contextmanager
def readiness() -> Iterator[None]:
    """READY=1 on entry, STOPPING=1 on exit."""
    notify("READY=1")
    try:
        yield
    finally:
        notify("STOPPING=1")


@contextlib.asynccontextmanager
async def watchdog() -> AsyncIterator[None]:
    """Sends WATCHDOG=1 while the event loop turns; systemd restarts a unit with WatchdogSec if it does not."""
    timeout = watchdog_timeout()
    notifying = asyncio.create_task(_notify_loop(timeout / NOTIFICATIONS_PER_TIMEOUT)) if timeout else None
    try:
        yield
    finally:
        if notifying is not None:
            notifying.cancel()


def watchdog_timeout() -> float:
    """Seconds within which systemd expects a notification; 0 if the watchdog is off."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0  # meant for our parent process
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000


async def _notify_loop(pause: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause)
