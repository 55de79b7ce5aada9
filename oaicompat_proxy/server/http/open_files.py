"""Handles a lack of file descriptors: asyncio retries accept() each second, and logs each failure with a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

LOG_INTERVAL = 60.0
"""Seconds between two log lines while file descriptors are lacking."""


class OpenFilesHandler:
    """An exception handler of the event loop that logs a lack of files once a minute; the default handles the rest."""

    def __init__(self) -> None:
        self._logged_at = -LOG_INTERVAL

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_FILES and "accept" in context.get("message", "")):
            loop.default_exception_handler(context)
            return
        if loop.time() - self._logged_at >= LOG_INTERVAL:
            self._logged_at = loop.time()
            log.error(
                "cannot accept connections: out of file descriptors (%s); raise the limit, ulimit -n", error.strerror
            )


@contextlib.contextmanager
def open_files_handler() -> Iterator[None]:
    """Installs the handler while the process listens."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    if before is None:
        loop.set_exception_handler(OpenFilesHandler())
    try:
        yield
    finally:
        loop.set_exception_handler(before)
