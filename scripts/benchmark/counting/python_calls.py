"""Counts the calls of each Python function, and its time, by cProfile."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from ..targets.processes import module
from ..targets.stage import Command, Stage
from .fifo import Fifo
from .profiled import PYTHON_CALLS, PYTHON_TIME
from .slope import Counts
from .tool import FIXED_HASHES, START, Running


class PythonCalls:
    """A target run by `profiled`."""

    def __init__(self) -> None:
        self._fifo: Fifo | None = None
        self._before: Counts = {}

    @contextlib.contextmanager
    def running(self, stage: Stage, name: str, home: Path) -> Running:
        self._fifo = fifo = Fifo(home / f"python-{name}")
        self._before = {PYTHON_CALLS: Counter(), PYTHON_TIME: Counter()}
        with stage.under(lambda command: _profiled(command, fifo), name, START) as target:
            yield target

    def take(self) -> Counts:
        assert self._fifo is not None, "the target runs"
        before = self._before
        self._before = {kind: Counter(counts) for kind, counts in self._fifo.ask().items()}
        return {kind: _difference(counts, before[kind]) for kind, counts in self._before.items()}


def _profiled(command: Command, fifo: Fifo) -> Command:
    python, _, name, *arguments = command
    return [*FIXED_HASHES, python, *module("counting.profiled", str(fifo.path), name, *arguments)[1:]]


def _difference(now: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter({name: count - before[name] for name, count in now.items()})


__all__ = ["PYTHON_CALLS", "PYTHON_TIME", "PythonCalls"]
