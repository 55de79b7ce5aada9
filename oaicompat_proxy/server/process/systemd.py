"""What systemd is told about the process, as sd_notify(3) and sd_watchdog_enabled(3) have it.

Without systemd nobody asks to be told, and nothing of this does anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator

log = logging.getLogger(__name__)

BEATS = 3
"""Signs of life within the time after which systemd takes the process for dead: one may come late."""


def notify(state: str) -> None:
    """`state`: an assignment such as READY=1. Who listens is no reason to fail: what goes wrong is logged."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # one without a file
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd cannot be told %s: %s", state, error.strerror or error)


@contextlib.contextmanager
def readiness() -> Iterator[None]:
    """Ready inside, about to end from then on."""
    notify("READY=1")
    try:
        yield
    finally:
        notify("STOPPING=1")


@contextlib.asynccontextmanager
async def signs_of_life() -> AsyncIterator[None]:
    """Given while the event loop turns; one that does not is started anew, if the unit has WatchdogSec."""
    patience = watchdog_patience()
    beating = asyncio.create_task(_beat(patience / BEATS)) if patience else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()


def watchdog_patience() -> float:
    """Seconds that systemd waits for a sign of life; 0 if it does not look."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0  # meant for the process that started this one
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000


async def _beat(pause: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause)
