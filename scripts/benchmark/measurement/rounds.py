"""Rounds: every load on every target once, the targets in another order each time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..load.loads import Load
from ..targets.stage import DIRECT, Stage, Target
from .measure import Figures, run_load

Progress = Callable[[str], None]
"""Shows a line about the progress of the measurement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The loads and targets to measure."""

    loads: Sequence[Load]
    targets: Sequence[str]
    rounds: int


def run_rounds(stage: Stage, plan: Plan, progress: Progress) -> Iterator[list[Figures]]:
    """The figures, round by round. Each round has fresh processes, since chance at their start plays a part too."""
    for number in range(plan.rounds):
        shift = number % len(plan.targets)
        order = [*plan.targets[shift:], *plan.targets[:shift]]
        with contextlib.ExitStack() as stack:
            shared = {name: stack.enter_context(stage.target(name)) for name in [DIRECT, *order]}
            figures = []
            for load in plan.loads:
                names = [DIRECT, *order] if load.direct else order
                figures += [_run(stage, load, shared[name]) for name in names]
                progress(_line(number, plan, load, figures[-len(names) :]))
        yield figures


def _run(stage: Stage, load: Load, target: Target) -> Figures:
    if not load.fresh:
        return run_load(load, target, stage)
    with stage.target(target.name) as fresh:
        return run_load(load, fresh, stage)


def _line(number: int, plan: Plan, load: Load, figures: Sequence[Figures]) -> str:
    """One line of progress."""
    words = [f"{each.target} {short(each)}" for each in figures]
    return f"round {number + 1} of {plan.rounds}: {load.name}: {', '.join(words)}"


def short(figures: Figures) -> str:
    came = figures.came
    if came.broken:
        return f"BROKEN ({len(came.broken)} of {came.requests}: {came.broken[0]})"
    if came.relay:
        return f"{came.relay[0] * 1e3:.3f} ms"
    if not figures.cpu or figures.load == "idle":
        return f"{figures.memory / max(1, figures.connections) / 1024:.1f} KB"
    return f"{figures.cpu / max(1, came.deltas) / 1e3:.2f} µs/chunk"
