"""Timers finer than the event loop's millisecond: one Linux timerfd each, so that packets do not come in clumps."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import time
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class Ticker:
    """Calls back every `interval` seconds, first after `delay`, with the number of ticks since the last call."""

    def __init__(self, callback: Callable[[int], None], *, delay: float, interval: float) -> None:
        self._callback = callback
        self._file = _libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        when = struct.pack("@qqqq", *divmod(int(interval * 1e9), 10**9), *divmod(max(1, int(delay * 1e9)), 10**9))
        _libc.timerfd_settime(self._file, 0, when, None)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._file, self._tick)

    def stop(self) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _tick(self) -> None:
        try:
            (count,) = struct.unpack("@Q", os.read(self._file, 8))
        except BlockingIOError:
            return
        self._callback(count)
