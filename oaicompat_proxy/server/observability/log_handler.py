"""The log handler of a process of our own: the lines of one turn of the event loop go to stderr in one write."""

from __future__ import annotations

import asyncio
import logging
import sys
from select import PIPE_BUF
from typing import TextIO


class TurnHandler(logging.Handler):
    """Collects lines until the event loop has run what is due now. Warnings and errors are written at once.

    Without a running event loop each line is written at once. `logging.shutdown` writes the rest at exit.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream`: used instead of stderr."""
        super().__init__()
        self._stream = stream or sys.stderr
        # state
        self._lines: list[str] = []
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that will write the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._append(f"{self.format(record)}\n")
            if record.levelno >= logging.WARNING or not self._is_scheduled():
                self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        assert self.lock is not None
        with self.lock:
            if self._lines:
                text = "".join(self._lines)
                self._lines.clear()
                self._size = 0
                self._stream.write(text)
                self._stream.flush()

    def _append(self, line: str) -> None:
        """Buffers a line. Several lines are written only up to PIPE_BUF bytes, so that workers do not mix lines."""
        size = len(line) if line.isascii() else len(line.encode(errors="replace"))
        if self._size + size > PIPE_BUF:
            self.flush()
        self._lines.append(line)
        self._size += size

    def _is_scheduled(self) -> bool:
        """Whether the running event loop will write the lines."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self._end_turn)
        return True

    def _end_turn(self) -> None:
        self._loop = None
        try:  # noqa: SIM105 -- suppress() takes 4 k instructions
            self.flush()
        except (OSError, ValueError):  # stderr is broken or closed: there is no place to report it
            pass
