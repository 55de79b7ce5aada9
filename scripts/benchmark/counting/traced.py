"""Runs a module, and traces its memory on demand: `python -m benchmark.counting.traced FIFO MODULE [ARGUMENT]…`.

The first question through FIFO starts tracemalloc. Each one after it is answered by the bytes that Python has allocated
since, by the part of the program that asked for them.
"""

from __future__ import annotations

import gc
import re
import runpy
import sys
import sysconfig
import tracemalloc
from collections import Counter
from pathlib import Path

from .fifo import answer_forever

FRAMES = 3
"""Frames of a stack: those without a file, as of a dataclass, belong to the one that called them."""
PACKAGE = "oaicompat_proxy"
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = Path(sysconfig.get_path("purelib"))
_NOWHERE = re.compile(r"<.*>")


def main() -> None:
    fifo, module, *arguments = sys.argv[1:]
    answer_forever(Path(fifo), allocated)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def allocated() -> Counter[str]:
    """Bytes by part of the program, of what was allocated after this was asked for the first time.

    What a program allocates before it listens is the same for any number of streams, and takes a minute to trace.
    """
    parts: Counter[str] = Counter()
    if not tracemalloc.is_tracing():
        tracemalloc.start(FRAMES)
        return parts
    gc.collect()
    for place in tracemalloc.take_snapshot().statistics("traceback"):
        files = [frame.filename for frame in reversed(place.traceback)]  # the last call first
        parts[part_of(next((file for file in files if not _NOWHERE.fullmatch(file)), files[0]))] += place.size
    return parts


def part_of(file: str) -> str:
    """The room of the proxy, the library, or the module of Python."""
    path = Path(file)
    if PACKAGE in path.parts:
        rooms = path.parts[len(path.parts) - path.parts[::-1].index(PACKAGE) : -1]
        return "/".join(rooms[:2]) or PACKAGE
    for home in (_INSTALLED, _LIBRARY):
        if path.is_relative_to(home):
            return Path(path.relative_to(home).parts[0]).stem
    return path.stem


if __name__ == "__main__":
    main()
