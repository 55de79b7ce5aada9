"""Tables of counts, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..report.tables import number, table
from .callgrind import INSTRUCTIONS
from .counter import Cost
from .loads import COUNTED
from .python_calls import PYTHON_CALLS, PYTHON_TIME
from .ratios import YARDSTICK
from .slope import Rates, largest, total
from .strace import SYSTEM_CALLS, WAITS

KINDS = (INSTRUCTIONS, SYSTEM_CALLS, WAITS, PYTHON_CALLS)


def cost_table(costs: Sequence[Cost]) -> str:
    """One line for each load and target, with ratios to the pipe."""
    pipes = {cost.load: cost.rates for cost in costs if cost.target == YARDSTICK}
    kinds = [kind for kind in KINDS if any(kind in cost.rates for cost in costs)]
    head = ["load", "what it is", "target", *(word for kind in kinds for word in (kind, "× pipe"))]
    rows = []
    for cost in costs:
        cells = [_cell(cost.rates, pipes.get(cost.load, {}), kind) for kind in kinds]
        rows.append([cost.load, COUNTED[cost.load].question, cost.target, *(cell for pair in cells for cell in pair)])
    return table(head, rows, words=3)


def _cell(rates: Rates, pipe: Rates, kind: str) -> tuple[str, str]:
    counted, yardstick = total(rates, kind), total(pipe, kind)
    return number(counted), f"{counted / yardstick:.3f}" if yardstick else ""


def largest_tables(costs: Sequence[Cost], count: int) -> Iterator[str]:
    """For each load and target: the functions and system calls that cost most."""
    for cost in costs:
        unit = COUNTED[cost.load].unit
        title = f"{cost.load}, {cost.target}"
        for kind in (INSTRUCTIONS, SYSTEM_CALLS, WAITS):
            if found := largest(cost.rates, kind, count):
                whole = total(cost.rates, kind)
                rows = [[name, number(rate), f"{rate / whole:.1%}"] for name, rate in found]
                yield table([f"{title}: {kind}", f"a {unit}", "share"], rows, words=1)
        if found := largest(cost.rates, PYTHON_TIME, count):
            whole, calls = total(cost.rates, PYTHON_TIME), cost.rates[PYTHON_CALLS]
            rows = [[name, number(calls[name]), f"{rate / whole:.1%}"] for name, rate in found]
            yield table([f"{title}: {PYTHON_CALLS}", f"a {unit}", "share of time"], rows, words=1)
