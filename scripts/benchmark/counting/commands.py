"""The commands of `scripts/bench --count`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ..targets.stage import BEFORE, Stage
from .callgrind import Callgrind
from .counter import Cost, count
from .inspection import inspection_table, measure_inspection
from .loads import COUNTED
from .memory import measure_memory, measure_peaks, memory_table, peak_table
from .pauses import measure_pause, pause_table
from .python_calls import PythonCalls
from .ratios import TABLE, build_table, compare, read_table, write_table
from .report import cost_table, largest_tables
from .strace import Strace
from .tool import Tool
from .workers import measure_workers, workers_table

PROGRAMS = {"valgrind": "valgrind", "strace": "strace"}
"""Program → Debian package."""
TARGETS = ("pipe", "proxy")
MOST_COSTLY = 12


def why_not() -> str:
    """The reason why this machine cannot count; empty if it can."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return f"--count needs {' and '.join(missing)}: apt-get install {' '.join(missing)}" if missing else ""


def count_costs(
    stage: Stage, only: Sequence[str], others: Sequence[str], json_file: Path | None, progress: Callable[[str], None]
) -> str:
    """Counts everything, and shows what costs most. `others`: targets beside the usual ones. The table of the costs."""
    targets = [*TARGETS, *others]
    costs = _count(stage, only, targets, [Callgrind(), Strace(), PythonCalls()], progress)
    click.echo("\n\n".join([cost_table(costs), *largest_tables(costs, MOST_COSTLY)]))
    if json_file:
        json_file.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", "utf-8")
    return cost_table(costs)


def check_ratios(stage: Stage, only: Sequence[str], progress: Callable[[str], None]) -> bool:
    """Returns whether no ratio has grown since the table was written."""
    costs = _count(stage, only, TARGETS, [Callgrind(), Strace()], progress)
    comparison = compare(build_table(costs), read_table())
    click.echo("\n".join([cost_table(costs), "", *comparison.lines()]))
    return not comparison.failed


def write_ratios(stage: Stage, progress: Callable[[str], None]) -> None:
    """Writes the table anew."""
    costs = _count(stage, [], TARGETS, [Callgrind(), Strace()], progress)
    write_table(build_table(costs))
    click.echo(f"{cost_table(costs)}\n\nThe ratios are in {TABLE}.")


def show_inspection(stage: Stage, progress: Callable[[str], None]) -> str:
    """Measures what the inspector costs, and shows it. The table."""
    shown = inspection_table(measure_inspection(stage, progress))
    click.echo(shown)
    return shown


def show_workers(stage: Stage, progress: Callable[[str], None]) -> str:
    """Counts what a request costs with one worker and with two, and shows it. The table."""
    shown = workers_table(measure_workers(stage, progress))
    click.echo(shown)
    return shown


def show_pauses(stage: Stage, before: bool, progress: Callable[[str], None]) -> str:
    """Measures the longest pause of the event loop, and shows it. The table."""
    pauses = []
    for name in ["proxy", *([BEFORE] if before else [])]:
        progress(f"pause: {name}")
        pauses.append(measure_pause(stage, name))
    click.echo(pause_table(pauses))
    return pause_table(pauses)


def show_memory(stage: Stage, before: bool, progress: Callable[[str], None]) -> str:
    """Measures what an open stream allocates, and what remains after peaks, and shows it. The tables."""
    targets = [*TARGETS, *([BEFORE] if before else [])]
    progress(f"memory: {', '.join(targets)}")
    text = memory_table([measure_memory(stage, name) for name in targets])
    progress(f"peaks: {', '.join(targets)}")
    text = f"{text}\n\n{peak_table([measure_peaks(stage, name) for name in targets])}"
    click.echo(text)
    return text


def _count(
    stage: Stage, only: Sequence[str], targets: Sequence[str], tools: Sequence[Tool], progress: Callable[[str], None]
) -> list[Cost]:
    return count(stage, [COUNTED[name] for name in only or COUNTED], targets, tools, progress)
