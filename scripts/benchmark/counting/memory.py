"""The memory that an open stream allocates, by part of the program; and the resident memory after a peak."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..load.loads import LOADS, Load
from ..measurement.measure import run_load
from ..report.tables import table
from ..targets.processes import module
from ..targets.stage import Command, Stage, Target
from .fifo import Fifo
from .tool import START, ToolFailed

IDLE = LOADS["idle"]
FEW, MANY = 100, 600
"""Numbers of open streams: the difference of two measurements leaves out everything that is allocated once."""
PEAK = 2000
PEAKS = 4
LEAST = 16.0
"""Parts with fewer bytes for each stream are not shown."""


@dataclass(frozen=True, slots=True)
class Allocated:
    """Bytes for each open stream of a target, by part of the program."""

    target: str
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Peaks:
    """Growth of a target's memory in bytes after each of several equal peaks, with the streams closed."""

    target: str
    streams: int
    during: list[int]
    after: list[int]


def measure_memory(stage: Stage, name: str, few: int = FEW, many: int = MANY) -> Allocated:
    """Measures the pipe, the proxy or `before`. Raises StartFailed, ToolFailed."""
    with tempfile.TemporaryDirectory(prefix="memory-") as home:
        fifo = Fifo(Path(home) / "traced")
        with stage.under(lambda command: _traced(command, fifo), name, START) as target:
            fifo.ask()
            _hold(few, target, stage, fifo)  # warms the target up
            less, more = _hold(few, target, stage, fifo), _hold(many, target, stage, fifo)
    slopes = {part: (more[part] - less[part]) / (many - few) for part in more.keys() | less.keys()}
    return Allocated(name, slopes)


def measure_peaks(stage: Stage, name: str, streams: int = PEAK, peaks: int = PEAKS) -> Peaks:
    """Opens and closes so many streams again and again. Raises StartFailed, ToolFailed."""
    during: list[int] = []
    after: list[int] = []
    with stage.target(name) as target:
        _hold_quietly(replace(IDLE, connections=FEW), target, stage)
        start = target.process.memory()
        for _ in range(peaks):
            during.append(_hold_quietly(replace(IDLE, connections=streams), target, stage) - start)
            target.process.cpu_at_rest()
            after.append(target.process.memory() - start)
    return Peaks(name, streams, during, after)


def memory_table(found: Sequence[Allocated]) -> str:
    """One line for each part, ordered by the size in the last target."""
    last = found[-1].parts
    names = sorted(last.keys() | found[0].parts.keys(), key=lambda name: -last.get(name, 0.0))
    shown = [name for name in names if any(each.parts.get(name, 0.0) >= LEAST for each in found)]
    rows = [[name, *(f"{each.parts.get(name, 0.0):,.0f}" for each in found)] for name in shown]
    rows.append(["all", *(f"{sum(each.parts.values()):,.0f}" for each in found)])
    return table(["bytes that an open stream allocates in", *(each.target for each in found)], rows, words=1)


def peak_table(found: Sequence[Peaks]) -> str:
    """Resident memory above that of the start: with all streams open, and when they are closed."""
    head = [
        "target",
        *(f"{word} peak {number + 1}" for number in range(len(found[0].after)) for word in ("at", "after")),
    ]
    rows = [
        [each.target, *(f"{size / 1e6:.1f} MB" for pair in zip(each.during, each.after, strict=True) for size in pair)]
        for each in found
    ]
    return table(head, rows, words=1)


def _hold(streams: int, target: Target, stage: Stage, fifo: Fifo) -> Counter[str]:
    """The allocated bytes with this number of open streams."""
    counts: Counter[str] = Counter()

    def look() -> None:
        counts.update(fifo.ask())

    _check(run_load(replace(IDLE, connections=streams), target, stage, opened=look).came.broken, target)
    return counts


def _hold_quietly(load: Load, target: Target, stage: Stage) -> int:
    """Resident bytes while the streams are open."""
    sizes: list[int] = []
    figures = run_load(load, target, stage, opened=lambda: sizes.append(target.process.memory()))
    _check(figures.came.broken, target)
    return sizes[0]


def _check(broken: Sequence[str], target: Target) -> None:
    if broken:
        raise ToolFailed(f"{target.name}: {broken[0]}")


def _traced(command: Command, fifo: Fifo) -> Command:
    python, _, name, *arguments = command
    return [python, *module("counting.traced", str(fifo.path), name, *arguments)[1:]]
