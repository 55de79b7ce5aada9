"""Runs a module under cProfile: `python -m benchmark.counting.profiled FIFO MODULE [ARGUMENT]…`.

The profile so far is written whenever it is asked for through FIFO.
"""

from __future__ import annotations

import cProfile
import runpy
import sys
from collections import Counter
from pathlib import Path
from types import CodeType

from .fifo import answer_forever

PYTHON_CALLS = "Python calls"
PYTHON_TIME = "Python time"


def main() -> None:
    fifo, module, *arguments = sys.argv[1:]
    profile = cProfile.Profile(builtins=False)
    answer_forever(Path(fifo), lambda: _counts(profile))
    sys.argv[1:] = arguments
    profile.enable()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _counts(profile: cProfile.Profile) -> dict[str, Counter[str]]:
    """The calls of each function, and its own nanoseconds with those of the C functions that it called."""
    calls: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for entry in profile.getstats():
        if isinstance(entry.code, CodeType):
            name = _name(entry.code)
            calls[name] += entry.callcount
            times[name] += round(entry.inlinetime * 1e9)
    return {PYTHON_CALLS: calls, PYTHON_TIME: times}


def _name(code: CodeType) -> str:
    """The function with the last two parts of its module's path."""
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


if __name__ == "__main__":
    main()
