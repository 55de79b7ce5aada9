"""Runs every load on every target under every tool, in both lengths, and computes the cost of one unit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..measurement.measure import run_load
from ..targets.stage import BEFORE, Stage, Target
from .loads import CountedLoad
from .slope import Counts, Rates, slope
from .tool import Tool, ToolFailed


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one unit of a load on a target."""

    load: str
    target: str
    rates: Rates = field(default_factory=dict)


def count(
    stage: Stage,
    loads: Sequence[CountedLoad],
    targets: Sequence[str],
    tools: Sequence[Tool],
    progress: Callable[[str], None],
) -> list[Cost]:
    """The costs, by load and then by target, without loads that an older proxy cannot answer.

    Raises StartFailed, ToolFailed.
    """
    costs = {(load.name, target): Cost(load.name, target) for load in loads for target in targets}
    for tool in tools:
        for target in targets:
            progress(f"{type(tool).__name__.lower()}: {target}")
            for load, rates in _count(stage, loads, target, tool, progress):
                costs[load.name, target].rates.update(rates)
    return [cost for cost in costs.values() if cost.rates]


def _count(
    stage: Stage, loads: Sequence[CountedLoad], name: str, tool: Tool, progress: Callable[[str], None]
) -> Iterator[tuple[CountedLoad, Rates]]:
    with tempfile.TemporaryDirectory(prefix="count-") as home, tool.running(stage, name, Path(home)) as target:
        for load in loads:
            try:
                yield load, _slope(stage, load, target, tool)
            except ToolFailed as error:
                if name != BEFORE:
                    raise
                progress(f"left out: {error}")


def _slope(stage: Stage, load: CountedLoad, target: Target, tool: Tool) -> Rates:
    _run(stage, load, load.few, target, tool)  # warms the target up
    few = _run(stage, load, load.few, target, tool)
    many = _run(stage, load, load.many, target, tool)
    return slope(few, many, load.units)


def _run(stage: Stage, load: CountedLoad, length: int, target: Target, tool: Tool) -> Counts:
    """The counts of one length. Raises ToolFailed, also for an incomplete answer."""
    sized = load.sized(length)
    came = run_load(sized, target, stage).came
    if came.broken or came.requests != sized.most:
        broken = came.broken[0] if came.broken else "some were not answered in time"
        raise ToolFailed(f"{load.name}, {target.name}: {came.requests} of {sized.most} answers, {broken}")
    return tool.take()
