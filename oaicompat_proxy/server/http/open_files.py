"""Running out of open files: asyncio tries to accept again each second, and would log each attempt with its stack."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

AGAIN = 60.0
"""Seconds after which it is logged again, if it goes on."""


class OpenFilesHandler:
    """An exception handler of the event loop that logs a lack of files once, and leaves all else to the one before."""

    def __init__(self) -> None:
        self._logged_at = -AGAIN

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_FILES and "accept" in context.get("message", "")):
            loop.default_exception_handler(context)
            return
        if loop.time() - self._logged_at >= AGAIN:
            self._logged_at = loop.time()
            log.error(
                "no connection can be accepted: out of open files (%s); raise the limit, ulimit -n", error.strerror
            )


@contextlib.contextmanager
def lack_logged_once() -> Iterator[None]:
    """While the process listens."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    if before is None:
        loop.set_exception_handler(OpenFilesHandler())
    try:
        yield
    finally:
        loop.set_exception_handler(before)
