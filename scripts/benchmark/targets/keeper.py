"""Ends the processes of a measurement, even if the measurement itself was killed.

`python -m benchmark.targets.keeper DIRECTORY` reads lines: `+PID` for a process group that was started, `-PID` for
one that is over. When its input ends, its parent is gone: what is left is killed, and the directory removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable


def keep(lines: Iterable[str]) -> None:
    kept: set[int] = set()
    for line in lines:
        change = kept.add if line[0] == "+" else kept.discard
        change(int(line[1:]))
    for pid in kept:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.stdin)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
