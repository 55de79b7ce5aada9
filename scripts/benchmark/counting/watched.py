"""Runs a module on an event loop that watches itself: `python -m benchmark.counting.watched FIFO MODULE [ARGUMENT]…`.

A timer asks for a turn each millisecond. The processor time that passes between two of its turns is the time for which
every other stream had to wait, too. Processor time leaves out what other processes of the machine took.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
import time
from pathlib import Path

import uvloop

from .fifo import answer_forever

INTERVAL = 0.001


class Watch:
    """The longest pause since it was last read."""

    def __init__(self) -> None:
        self._last = 0.0
        self._longest = 0.0

    def new_event_loop(self) -> uvloop.Loop:
        loop = uvloop.Loop()
        loop.call_soon(self._tick, loop)
        return loop

    def read(self) -> float:
        """The longest pause in seconds."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.thread_time()
        if self._last:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        loop.call_later(INTERVAL, self._tick, loop)


def main() -> None:
    fifo, module, *arguments = sys.argv[1:]
    watch = Watch()
    answer_forever(Path(fifo), watch.read)
    uvloop.new_event_loop = watch.new_event_loop
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
