"""The inspector's cost for a paced delta: switched off, on without a viewer, and with a viewer of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from ..report.tables import number, table
from ..targets.stage import INSPECTED, WATCHED, Stage
from .callgrind import INSTRUCTIONS, Callgrind
from .counter import count
from .loads import COUNTED, CountedLoad
from .slope import total

OFF = "proxy"
WORDS = {OFF: "off", INSPECTED: "on, and nobody looks", WATCHED: "on, and a page shows the run"}
ROUNDS = 3


def measure_inspection(
    stage: Stage, progress: Callable[[str], None], load: CountedLoad = COUNTED["paced"], rounds: int = ROUNDS
) -> Mapping[str, Sequence[float]]:
    """Instructions of a delta in each round, by target. Raises StartFailed, ToolFailed."""
    found: dict[str, list[float]] = {name: [] for name in WORDS}
    for _ in range(rounds):
        for cost in count(stage, [load], tuple(WORDS), [Callgrind()], progress):
            found[cost.target].append(total(cost.rates, INSTRUCTIONS))
    return found


def inspection_table(found: Mapping[str, Sequence[float]]) -> str:
    medians = {name: median(each) for name, each in found.items()}
    rows = [
        [
            words,
            number(medians[name]),
            f"{medians[name] / medians[OFF]:.3f}",
            f"{number(min(found[name]))} to {number(max(found[name]))}",
        ]
        for name, words in WORDS.items()
    ]
    return table(["inspector", "instructions of a delta", "× off", "of all rounds"], rows, words=1)
