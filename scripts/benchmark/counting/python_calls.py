"""Python calls, by function, as cProfile sees them; and the time that each function takes."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from pathlib import Path

from ..processes import module
from ..targets import Command, Stage
from .profiled import PYTHON_CALLS, PYTHON_TIME
from .slope import Counts
from .tool import FIXED_HASHES, START, Running, ToolFailed

PATIENCE = 30.0
"""Seconds for a target to write its profile."""


class PythonCalls:
    """A target run by `profiled`, which is asked for its profile through a FIFO."""

    def __init__(self) -> None:
        self._fifo = Path()
        self._taken = 0
        self._before: Counts = {}

    @contextlib.contextmanager
    def running(self, stage: Stage, name: str, home: Path) -> Running:
        self._fifo = home / f"python-{name}"
        self._before = {PYTHON_CALLS: Counter(), PYTHON_TIME: Counter()}
        os.mkfifo(self._fifo)
        with stage.under(self._wrap, name, START) as target:
            yield target

    def take(self) -> Counts:
        before, self._before = self._before, self._read()
        return {kind: _difference(counts, before[kind]) for kind, counts in self._before.items()}

    def _read(self) -> Counts:
        self._taken += 1
        file = self._fifo.with_name(f"profile-{self._taken}.json")
        self._fifo.write_text(f"{file}\n", "utf-8")
        deadline = time.monotonic() + PATIENCE
        while not file.exists():
            if time.monotonic() > deadline:
                raise ToolFailed("the target did not write its profile")
            time.sleep(0.02)
        return {kind: Counter(counts) for kind, counts in json.loads(file.read_text("utf-8")).items()}

    def _wrap(self, command: Command) -> Command:
        python, _, name, *arguments = command
        return [*FIXED_HASHES, python, *module("counting.profiled", str(self._fifo), name, *arguments)[1:]]


def _difference(now: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter({name: count - before[name] for name, count in now.items()})


__all__ = ["PYTHON_CALLS", "PYTHON_TIME", "PythonCalls"]
