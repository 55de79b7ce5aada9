"""The longest pause of the event loop while many streams come in bursts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..load.loads import LOADS, Load
from ..measurement.measure import run_load
from ..report.tables import table
from ..targets.processes import module
from ..targets.stage import Command, Stage
from .fifo import Fifo
from .loads import LONGEST
from .tool import START, ToolFailed

STREAMS = 200
REQUESTS = 2000
LOAD = replace(LOADS["burst"], name="pause", connections=STREAMS, mode="count", most=REQUESTS, seconds=LONGEST)


@dataclass(frozen=True, slots=True)
class Pause:
    """The longest pause of a target, in seconds."""

    target: str
    longest: float


def measure_pause(stage: Stage, name: str, load: Load = LOAD) -> Pause:
    """Measures the proxy or `before`. Raises StartFailed, ToolFailed."""
    with tempfile.TemporaryDirectory(prefix="pause-") as home:
        fifo = Fifo(Path(home) / "watched")
        with stage.under(lambda command: _watched(command, fifo), name, START) as target:
            for _ in ("warms the target up", "is measured"):
                fifo.ask()
                came = run_load(load, target, stage).came
                if came.broken or came.requests != load.most:
                    raise ToolFailed(f"{name}: {came.requests} of {load.most} answers, {came.broken[:1]}")
            return Pause(name, fifo.ask())


def pause_table(pauses: Sequence[Pause]) -> str:
    head = ["target", f"longest pause: {STREAMS} streams, 500 deltas at once"]
    return table(head, [[pause.target, f"{pause.longest * 1e3:.1f} ms"] for pause in pauses], words=1)


def _watched(command: Command, fifo: Fifo) -> Command:
    python, _, name, *arguments = command
    return [python, *module("counting.watched", str(fifo.path), name, *arguments)[1:]]
