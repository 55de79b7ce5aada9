"""What a request costs with two workers, over all processes, beside one.

Processor time cannot show it on a machine of two cores: the load generator and the gateway then take turns with the
workers, whose caches they empty, and two proxies without any connection between them cost as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..load.loads import LOADS
from ..report.tables import number, table
from ..targets.stage import TWO_WORKERS, Stage
from .callgrind import INSTRUCTIONS, Callgrind
from .counter import Cost, count
from .loads import COUNTED, CountedLoad
from .slope import total

ONE = "proxy"
_SHORT = COUNTED["short"]
LOAD = replace(_SHORT, load=replace(_SHORT.load, connections=LOADS["short"].connections), few=100, many=500)
"""As many connections as where processor time is measured, so that the requests of a turn share its cost."""


def measure_workers(stage: Stage, progress: Callable[[str], None], load: CountedLoad = LOAD) -> Sequence[Cost]:
    """The costs of a request with one worker and with two. Raises StartFailed, ToolFailed."""
    return count(stage, [load], (ONE, TWO_WORKERS), [Callgrind()], progress)


def workers_table(costs: Sequence[Cost]) -> str:
    counted = {cost.target: total(cost.rates, INSTRUCTIONS) for cost in costs}
    rows = [
        [words, number(counted[name]), f"{counted[name] / counted[ONE]:.3f}"]
        for name, words in {ONE: "one", TWO_WORKERS: "two"}.items()
    ]
    return table(["workers", "instructions of a request", "× one"], rows, words=1)
