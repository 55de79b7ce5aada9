"""Where the lines of the log go: to stderr, those of one turn of the loop in one write."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from select import PIPE_BUF
from typing import TextIO


class LineHandler(logging.StreamHandler[TextIO]):
    """Holds lines back until the loop has done what else it has to do now, but no warning.

    What flushes each line by itself is not asked to do it once more.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream`: instead of stderr."""
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING or not self._is_scheduled():
                self.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            for write in _writes(lines):
                self.stream.write(write)
            if not getattr(self.stream, "line_buffering", False):
                super().flush()
        finally:
            self.release()

    def _is_scheduled(self) -> bool:
        """Whether these lines are written soon by themselves."""
        if len(self._lines) > 1:
            return True
        try:
            asyncio.get_running_loop().call_soon(self._flush_if_possible)
        except RuntimeError:
            return False
        return True

    def _flush_if_possible(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, and there is no other place to say so
            self.flush()


def _writes(lines: list[str]) -> Iterator[str]:
    """As few as there can be, and none longer than what a pipe takes in one piece: other workers write there too."""
    together: list[str] = []
    size = 0
    for line in lines:
        length = len(line) if line.isascii() else len(line.encode(errors="replace"))
        if together and size + length > PIPE_BUF:
            yield "".join(together)
            together, size = [], 0
        together.append(line)
        size += length
    if together:
        yield "".join(together)
